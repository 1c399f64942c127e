"""`verify: proxmox`: what is really there, laid over the definitions."""

import json
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from proxmox_lab import ProxmoxEndpoint, StartEndpoint

from stackyard.inventory import InventoryError, build_inventory
from stackyard.proxmox.client import Client
from stackyard.proxmox.facts import Fact, Wanted, read_facts
from stackyard.proxmox.overlay import overlay
from stackyard.proxmox.settings import Settings

ROOT = Path(__file__).parents[2]


def guest(node: str, vmid: int, **config: str | int) -> dict[str, Any]:
    mac = f"virtio=BC:24:11:00:02:{vmid - 200:02X},bridge=vmbr0"
    base = {"agent": 1, "memory": 512, "net0": mac, "ide2": "local-lvm:cloudinit"}
    # What a DHCP server would have given it: the simulated guest boots with this address.
    return {"node": node, "vmid": vmid, "running": True, "config": base | config}


@pytest.fixture
def endpoint(proxmox_endpoint: StartEndpoint) -> ProxmoxEndpoint:
    vms = {
        "leased": guest("node01", 200, tags="stackyard", ipconfig0="ip=192.168.1.33/24"),
        "fixed": guest("node02", 201, tags="stackyard", ipconfig0="ip=192.168.1.34/24"),
        "silent": guest("node02", 202, tags="stackyard", agent=0),
        "theirs": guest("node03", 203, tags="legacy", ipconfig0="ip=192.168.1.35/24"),
        "pooled": guest("node03", 204),
        "nobodys": guest("node03", 205),
        "impostor": guest("node03", 206),
        "halted": guest("node01", 207, tags="stackyard") | {"running": False},
    }
    endpoint = proxmox_endpoint({"vms": vms, "timing": {"statd": 0}, "pools": ["lab"]})
    endpoint.call("PUT", "/pools/lab", vms="204")
    endpoint.forget_requests()
    return endpoint


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "vms").mkdir()
    (tmp_path / "inventory").mkdir()
    definitions = {
        "leased": "agent: 1\nipconfig0: ip=dhcp\nciuser: me\n",
        "fixed": "agent: 1\nipconfig0: ip=192.168.1.44/24\n",
        "silent": "ipconfig0: ip=192.168.1.46/24\n",
        "impostor": "agent: 1\n",
        "halted": "agent: 1\n",
        "future": "agent: 1\n",
    }
    for name, more in definitions.items():
        (tmp_path / "vms" / f"{name}.yaml").write_text(f"name: {name}\ntarget_node: node01\n{more}")
    return tmp_path


def run(
    site: Path, endpoint: ProxmoxEndpoint, options: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    source = site / "inventory" / "vms.yml"
    source.write_text(f"plugin: vms\nverify: proxmox\n{options}")
    return subprocess.run(
        [str(Path(sysconfig.get_path("scripts"), "ansible-inventory")), "--list", "-i", source],
        cwd=ROOT,
        env=os.environ | endpoint.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def listed(site: Path, endpoint: ProxmoxEndpoint, options: str = "", **environ: str) -> Any:
    done = run(site, endpoint, options, **environ)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_is_there_is_laid_over_the_definitions(site: Path, endpoint: ProxmoxEndpoint) -> None:
    data = listed(site, endpoint, "include_tags: [legacy]\ninclude_pools: [lab]\n")
    asked = [request["path"] for request in endpoint.requests()]
    hosts = data["_meta"]["hostvars"]
    assert set(hosts) == {
        *("leased", "fixed", "silent", "impostor", "halted", "future", "theirs", "pooled"),
    }
    # A lease is what the agent says; a fixed address stays what the definition says.
    assert hosts["leased"]["ansible_host"] == "192.168.1.33"
    assert hosts["leased"]["ansible_user"] == "me"
    assert hosts["fixed"]["ansible_host"] == "192.168.1.44"
    assert hosts["fixed"]["stackyard_observed"] == {
        "vmid": 201,
        "node": "node02",
        "status": "running",
        "tags": ["stackyard"],
        "addresses": ["192.168.1.34"],
    }
    assert "addresses" not in hosts["silent"]["stackyard_observed"]
    assert hosts["theirs"]["ansible_host"] == "192.168.1.35"
    assert hosts["pooled"]["stackyard_observed"]["pool"] == "lab"
    assert data["observed_running"]["hosts"] == ["fixed", "leased", "pooled", "silent", "theirs"]
    assert data["observed_stopped"]["hosts"] == ["halted"]
    # A VM of that name without our tag is somebody else's, as it is for a plan.
    assert data["observed_absent"]["hosts"] == ["future", "impostor"]
    assert data["unmanaged"]["hosts"] == ["pooled", "theirs"]
    assert data["tag_legacy"]["hosts"] == ["theirs"]
    assert data["pool_lab"]["hosts"] == ["pooled"]
    # One list, and one call for each that may have something to say: not `silent`, `halted`.
    assert sorted(asked) == [
        "/cluster/resources",
        *(
            f"/nodes/node0{node}/qemu/{vmid}/agent/network-get-interfaces"
            for node, vmid in ((1, 200), (2, 201), (3, 203), (3, 204))
        ),
    ]


def test_answers_are_cached(site: Path, endpoint: ProxmoxEndpoint) -> None:
    options = f"cache: true\ncache_plugin: jsonfile\ncache_connection: {site / 'cache'}\n"
    first = listed(site, endpoint, options)
    endpoint.forget_requests()
    assert listed(site, endpoint, options) == first
    assert endpoint.requests() == []
    # Another user may see other VMs.
    run(site, endpoint, options, PROXMOX_TOKEN_ID="readonly")
    assert endpoint.requests() != []


def test_without_proxmox_the_definitions_are_the_inventory(
    site: Path, endpoint: ProxmoxEndpoint
) -> None:
    down = {"PROXMOX_URL": "https://127.0.0.1:1"}
    done = run(site, endpoint, **down)
    assert "cannot reach Proxmox at https://127.0.0.1:1" in " ".join(done.stderr.split())
    hosts = json.loads(done.stdout)["_meta"]["hostvars"]
    assert hosts["fixed"]["ansible_host"] == "192.168.1.44"
    assert "stackyard_observed" not in hosts["fixed"]
    strict = run(site, endpoint, "strict: true\n", **down)
    assert strict.returncode != 0
    assert "cannot reach Proxmox" in strict.stderr


def test_wrong_settings_are_never_passed_over(site: Path, endpoint: ProxmoxEndpoint) -> None:
    refused = run(site, endpoint, PROXMOX_TOKEN_SECRET="wrong-secret")
    assert refused.returncode != 0
    assert "401" in refused.stderr
    assert "wrong-secret" not in refused.stderr + refused.stdout
    assert run(site, endpoint, PROXMOX_URL="").returncode != 0


def test_two_vms_of_one_name_are_one_host_and_a_note(proxmox_endpoint: StartEndpoint) -> None:
    vms = {"a": guest("node01", 200, tags="x"), "b": guest("node02", 201, tags="x")}
    endpoint = proxmox_endpoint({"vms": vms, "timing": {"statd": 0}})
    endpoint.call("PUT", "/nodes/node02/qemu/201/config", name="a")
    with Client(Settings.from_environment(endpoint.environ)) as client:
        facts = read_facts(client, Wanted(tags={"x"}))
    assert [fact.vmid for fact in facts.vms] == [200]
    assert facts.notes == ("VMs 200 and 201 are both called a: one host",)


def test_an_agent_that_fails_is_no_address_and_a_broken_node_a_note(
    endpoint: ProxmoxEndpoint,
) -> None:
    pattern = "/nodes/node01/qemu/200/agent/network-get-interfaces"
    endpoint.set_fault("GET", pattern, status=403, reason="Permission check failed")
    with Client(Settings.from_environment(endpoint.environ)) as client:
        facts = read_facts(client, Wanted(managed={"leased"}, with_agent={"leased"}))
    assert [fact.addresses for fact in facts.vms] == [None]
    assert "403 Permission check failed" in facts.notes[0]


def test_a_foreign_vm_named_like_a_group_is_refused() -> None:
    with pytest.raises(InventoryError, match="the VM unmanaged in Proxmox is named like a group"):
        overlay(build_inventory(()), [Fact("unmanaged", 100, "n", "running")])
