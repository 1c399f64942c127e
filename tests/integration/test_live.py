"""Facts for an inventory, read from the lab's Proxmox endpoint."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from proxmox_lab import ProxmoxEndpoint, StartEndpoint

from stackyard.definitions.load import parse_vm
from stackyard.inventory import Inventory, build_inventory
from stackyard.lab.machine import Simulated, card, loopback
from stackyard.proxmox import client as client_module
from stackyard.proxmox.client import Client
from stackyard.proxmox.errors import ApiError, ConnectionFailedError
from stackyard.proxmox.live import Live, gather, is_down, read_live
from stackyard.proxmox.overlay import Include, lay_over
from stackyard.proxmox.settings import Settings

NOBODY_ELSE = Include()


class Leasing(Simulated):
    """Machines whose first card gets an address by DHCP; one of them has no agent inside."""

    silent = 103

    async def interfaces(self, vmid: int) -> list[dict[str, object]] | None:
        if vmid == self.silent or not self.running(vmid):
            return None
        mac = f"BC:24:11:00:00:{vmid % 100:02}"
        return [loopback(), card("eth0", mac, [(f"10.9.0.{vmid}", 24)])]


def vm(vmid: int, node: str = "node01", *, running: bool = True, **config: Any) -> dict[str, Any]:
    given = {"memory": 512, "cores": 1, "agent": 1, "net0": "virtio,bridge=vmbr0", **config}
    return {"node": node, "vmid": vmid, "running": running, "config": given}


VMS: Mapping[str, dict[str, Any]] = {
    "leased": vm(101, tags="stackyard;blue"),
    "stopped": vm(102, "node02", running=False, tags="stackyard"),
    "silent": vm(103, "node03", tags="stackyard"),
    "agentless": vm(104, "node02", agent=0, tags="stackyard"),
    "other": vm(105, "node03", tags="web"),
    "stranger": vm(106, "node03"),
}


def site(*names: str, more: str = "agent: 1\nipconfig0: ip=dhcp\n") -> Inventory:
    return build_inventory(
        parse_vm(f"name: {name}\ntarget_node: node01\n{more}", f"{name}.yaml") for name in names
    )


def started(start: StartEndpoint) -> ProxmoxEndpoint:
    return start({"vms": VMS, "pools": ["lab"]}, machines=Leasing())


def read(lab: ProxmoxEndpoint, desired: Inventory, include: Include = NOBODY_ELSE) -> Live:
    lab.forget_requests()
    return read_live(lab.environ, desired, include)


def test_power_node_vmid_and_leased_addresses(proxmox_endpoint: StartEndpoint) -> None:
    lab = started(proxmox_endpoint)
    desired = site("leased", "stopped", "silent", "agentless", "missing", "stranger")
    live = read(lab, desired)
    assert live.warnings == ()
    hosts = lay_over(desired, live.facts).hosts
    seen = {
        name: tuple(
            host.variables.get(f"proxmox_{key}") for key in ("status", "vmid", "node", "addresses")
        )
        for name, host in hosts.items()
    }
    assert seen == {
        "leased": ("running", 101, "node01", ["10.9.0.101"]),
        "stopped": ("stopped", 102, "node02", None),
        "silent": ("running", 103, "node03", None),
        "agentless": ("running", 104, "node02", None),
        "missing": ("absent", None, None, None),
        "stranger": ("absent", None, None, None),  # there, but not ours
    }
    assert hosts["leased"].variables["ansible_host"] == "10.9.0.101"
    assert hosts["leased"].variables["proxmox_tags_parsed"] == ["blue", "stackyard"]
    assert len(lab.requests()) == 2 + 3 + 3  # the lists, and the agents of those that run


def test_only_those_with_an_agent_are_asked(proxmox_endpoint: StartEndpoint) -> None:
    lab = started(proxmox_endpoint)
    read(lab, site("leased", "other", more="agent: 0\n"))
    assert not [request for request in lab.requests() if "agent" in request["path"]]


def test_hosts_that_only_proxmox_has(proxmox_endpoint: StartEndpoint) -> None:
    lab = started(proxmox_endpoint)
    lab.call("PUT", "/pools/lab", vms="102")
    desired = site("leased")
    live = read(lab, desired, Include(frozenset({"web"}), frozenset({"lab"})))
    hosts = lay_over(desired, live.facts).hosts
    assert set(hosts) == {"leased", "other", "stopped"}
    assert hosts["other"].variables["ansible_host"] == "10.9.0.105"
    assert "pool_lab" in hosts["stopped"].groups


def test_a_node_that_does_not_answer(
    proxmox_endpoint: StartEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "READ_DEADLINE_SECONDS", 0.1)
    lab = started(proxmox_endpoint)
    desired = site("leased", "silent")
    lab.endpoint.take_down("node03")
    live = read(lab, desired)
    assert (live.facts["silent"].status, live.facts["silent"].vmid) == ("unknown", 103)
    assert live.facts["leased"].status == "running"
    assert live.warnings == (
        "node03 does not answer: what 1 hosts that may be there do is unknown",
    )
    assert "node03" not in " ".join(request["path"] for request in lab.requests())


class Moving(Client):
    """A VM comes to its node just after the node's list was read, and was nowhere else before."""

    seen = 0

    def get(self, path: str, **params: Any) -> Any:
        answer = super().get(path, **params)
        if path != "/nodes/node01/qemu":
            return answer
        self.seen += 1
        return [row for row in answer if row["vmid"] != 101 or self.seen > 1]


def test_a_vm_that_moves_meanwhile_is_not_lost(proxmox_endpoint: StartEndpoint) -> None:
    lab, desired = started(proxmox_endpoint), site("leased")
    with Moving(Settings.from_environment(lab.environ)) as client:
        live = gather(client, desired, NOBODY_ELSE)
    assert live.facts["leased"].status == "running"
    assert live.facts["leased"].addresses == ("10.9.0.101",)


def test_vms_whose_names_are_forgotten_with_their_node(proxmox_endpoint: StartEndpoint) -> None:
    """Some minutes after a node is gone, its VMs have a number and tags, and no name."""
    given = {"vms": VMS, "timing": {"statd": 3600}}
    lab = proxmox_endpoint(given, machines=Leasing())
    lab.endpoint.cluster.seen = {}
    desired = site("leased", "missing")
    for node in ("node01", "node03"):
        lab.endpoint.take_down(node)
    live = read(lab, desired, Include(frozenset({"web"})))
    hosts = lay_over(desired, live.facts, live.unsure).hosts
    seen = {name: host.variables["proxmox_status"] for name, host in hosts.items()}
    assert seen == {"leased": "unknown", "missing": "unknown"}
    said = "\n".join((*live.warnings, *live.missing))
    assert "node01 does not answer: what 2 hosts that may be there do is unknown" in said
    assert "node03 does not answer, and Proxmox has forgotten the names of its VMs" in said
    assert "include_pools name, 1 are left out" in said


def test_a_vm_that_moved_to_a_node_that_is_gone_is_not_absent(
    proxmox_endpoint: StartEndpoint,
) -> None:
    """It is not where its definition wants it, and Proxmox has forgotten its name."""
    vms = {**VMS, "numbered": vm(107, "node03", tags="stackyard")}
    lab = proxmox_endpoint({"vms": vms, "timing": {"statd": 3600}}, machines=Leasing())
    lab.endpoint.cluster.seen = {}
    lab.endpoint.take_down("node03")
    desired = build_inventory(
        parse_vm(f"name: {name}\ntarget_node: node01\n{more}", f"{name}.yaml")
        for name, more in {
            "silent": "",
            "other": "managed: false\n",
            "numbered": "vmid: 107\n",
            "elsewhere": "vmid: 999\n",
            "leased": "",
        }.items()
    )
    live = read(lab, desired)
    assert live.unsure == {"silent", "other", "numbered"}
    assert live.warnings == (
        "node03 does not answer: what 3 hosts that may be there do is unknown",
    )
    hosts = lay_over(desired, live.facts, live.unsure).hosts
    assert hosts["silent"].variables["proxmox_status"] == "unknown"
    assert hosts["elsewhere"].variables["proxmox_status"] == "absent"


def test_a_node_whose_proxy_dies_meanwhile(
    proxmox_endpoint: StartEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "READ_DEADLINE_SECONDS", 0.1)
    lab = started(proxmox_endpoint)
    lab.set_fault("GET", "/nodes/node03/qemu", status=595, reason="Connection refused", times=9)
    assert read(lab, site("silent")).facts["silent"].status == "unknown"


def test_a_node_whose_proxy_dies_before_its_agents_are_asked(
    proxmox_endpoint: StartEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "READ_DEADLINE_SECONDS", 0.1)
    lab = started(proxmox_endpoint)
    path = "/nodes/node01/qemu/101/agent/network-get-interfaces"
    lab.set_fault("GET", path, status=595, reason="Connection refused", times=9)
    live = read(lab, site("leased", "silent"))
    assert live.facts["leased"].addresses == ()
    said = "1 of 2 guest agents could not be asked, so that their addresses are missing: "
    assert [said in warning for warning in live.warnings] == [True]


def test_a_proxmox_that_is_down(proxmox_endpoint: StartEndpoint) -> None:
    lab = started(proxmox_endpoint)
    lab.run(lab.endpoint.stop())
    with pytest.raises(ConnectionFailedError, match="cannot reach Proxmox") as caught:
        read(lab, site("leased"))
    assert is_down(caught.value)


@pytest.mark.parametrize("login", [False, True])
def test_a_broken_connection_says_nothing_of_changes(
    login: bool, proxmox_endpoint: StartEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "READ_DEADLINE_SECONDS", 0.1)
    lab = started(proxmox_endpoint)
    lab.set_fault("GET|POST", "/nodes$|/access/ticket", drop=True, times=9)
    environ = dict(lab.environ)
    if login:
        del environ["PROXMOX_TOKEN_ID"], environ["PROXMOX_TOKEN_SECRET"]
        environ["PROXMOX_PASSWORD"] = "made-up"
    with pytest.raises(ConnectionFailedError, match=r"came: check PROXMOX_URL$"):
        read_live(environ, site("leased"), NOBODY_ELSE)


@contextmanager
def balancer_without_servers() -> Iterator[str]:
    """Something that takes connections, for nobody is there to pass them on to, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up() -> None:
            while True:
                try:
                    with listening.accept()[0] as connection:
                        connection.recv(65536)
                except OSError:  # the end of the test
                    return

        threading.Thread(target=hang_up, daemon=True).start()
        try:
            yield f"https://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)  # which wakes the thread


@pytest.mark.parametrize(
    "login",
    [
        {"PROXMOX_PASSWORD": "made-up"},
        {"PROXMOX_TOKEN_ID": "it", "PROXMOX_TOKEN_SECRET": "made-up"},
    ],
)
def test_a_balancer_whose_servers_are_gone_is_a_proxmox_that_is_down(login: dict[str, str]) -> None:
    with (
        balancer_without_servers() as url,
        pytest.raises(ConnectionFailedError, match=r"came: check PROXMOX_URL$") as caught,
    ):
        read_live({"PROXMOX_URL": url, "PROXMOX_USER": "a@pve", **login}, site(), NOBODY_ELSE)
    assert is_down(caught.value)


def test_an_answer_without_a_list_is_a_sentence(
    proxmox_endpoint: StartEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = started(proxmox_endpoint)
    monkeypatch.setattr(client_module.Client, "get", lambda *_path, **_params: None)
    with pytest.raises(ConnectionFailedError, match="answered, but not as a Proxmox API"):
        read(lab, site("leased"))


def test_distrust_and_refusal_are_not_being_down(proxmox_endpoint: StartEndpoint) -> None:
    lab = started(proxmox_endpoint)
    with pytest.raises(ConnectionFailedError, match="not trusted") as distrusted:
        read_live({**lab.environ, "PROXMOX_CA": ""}, site("leased"), NOBODY_ELSE)
    with pytest.raises(ApiError, match="401") as refused:
        read_live({**lab.environ, "PROXMOX_TOKEN_SECRET": "no"}, site("leased"), NOBODY_ELSE)
    assert not is_down(distrusted.value)
    assert not is_down(refused.value)


def test_a_token_that_sees_nothing_is_warned_about(proxmox_endpoint: StartEndpoint) -> None:
    lab = started(proxmox_endpoint)
    name = "root@pam!readonly"
    environ = {
        **lab.environ,
        "PROXMOX_TOKEN_ID": "readonly",
        "PROXMOX_TOKEN_SECRET": lab.secrets[name],
    }
    live = read_live(environ, site("leased"), NOBODY_ELSE)
    assert live.facts == {}
    assert live.missing == ()
    assert len(live.warnings) == 1
    assert "VM.Audit" in live.warnings[0]


def test_a_token_that_may_not_ask_agents_is_warned_about(proxmox_endpoint: StartEndpoint) -> None:
    lab = started(proxmox_endpoint)
    reason = "Permission check failed (/vms/101, VM.GuestAgent.Audit)"
    path = "/nodes/node01/qemu/101/agent/network-get-interfaces"
    lab.set_fault("GET", path, status=403, reason=reason)
    live = read(lab, site("leased"))
    assert live.facts["leased"].status == "running"
    assert "1 of 1 guest agents" in live.warnings[0]
    assert "VM.GuestAgent.Audit" in live.warnings[0]
