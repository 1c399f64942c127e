"""The endpoint as a client sees it, beyond the recorded calls."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from proxmox_lab import ProxmoxEndpoint, StartEndpoint

from stackyard.lab.machine import Boot, Simulated
from stackyard.lab.platform import PlatformError

TEMPLATE = "/nodes/node03/qemu/9003"


def clone(lab: ProxmoxEndpoint, vmid: int, name: str) -> str:
    """Clone the template of node03 and return the path of the new VM."""
    form: dict[str, str | int] = {"newid": vmid, "name": name, "full": 1}
    assert lab.task(lab.call("POST", f"{TEMPLATE}/clone", **form)) == "OK"
    return f"/nodes/node03/qemu/{vmid}"


def start(lab: ProxmoxEndpoint, vm: str) -> None:
    assert lab.task(lab.call("POST", f"{vm}/status/start")) == "OK"


def answer(lab: ProxmoxEndpoint, method: str, path: str, **form: str | int) -> requests.Response:
    """Make a call that may be refused."""
    with lab.session() as session:
        return session.request(method, f"{lab.url}/api2/json{path}", data=form)


class Watched(Simulated):
    """Machines that remember what they were started with."""

    def __init__(self) -> None:
        super().__init__()
        self.boots: list[Boot] = []

    async def start(self, boot: Boot) -> None:
        self.boots.append(boot)
        await super().start(boot)


def test_a_vm_lives_from_clone_to_removal(proxmox_endpoint: StartEndpoint) -> None:
    lab = proxmox_endpoint()
    upid = lab.call(
        "POST", f"{TEMPLATE}/clone", newid=150, name="k8s-tools", full=1, storage="data2"
    )
    assert lab.task(upid) == "OK"
    vm = "/nodes/node03/qemu/150"
    lab.call("PUT", f"{vm}/config", memory=2048, ipconfig0="ip=192.168.1.15/24,gw=192.168.1.1")
    assert lab.task(lab.call("PUT", f"{vm}/resize", disk="scsi0", size="20G")) == "OK"
    start(lab, vm)
    config = lab.call("GET", f"{vm}/config")
    assert config["scsi0"] == "data2:vm-150-disk-0,size=20G"
    assert config["memory"] == "2048"
    result = lab.call("GET", f"{vm}/agent/network-get-interfaces")["result"]
    assert result[1]["ip-addresses"][0]["ip-address"] == "192.168.1.15"
    assert lab.call("GET", f"{vm}/status/current")["status"] == "running"
    assert lab.task(lab.call("POST", f"{vm}/status/shutdown")) == "OK"
    assert lab.task(lab.call("DELETE", vm, purge=1)) == "OK"
    assert [one["vmid"] for one in lab.call("GET", "/nodes/node03/qemu")] == [9003]


def test_cluster_resources_lag_behind_by_a_round_of_pvestatd(
    proxmox_endpoint: StartEndpoint,
) -> None:
    lab = proxmox_endpoint()

    def seen() -> dict[str, Any]:
        found = lab.call("GET", "/cluster/resources", type="vm")
        return next(entry for entry in found if entry["vmid"] == 150)

    vm = clone(lab, 150, "first")
    assert seen() == {
        "id": "qemu/150", "type": "qemu", "vmid": 150, "node": "node03", "status": "unknown",
    }  # fmt: skip
    lab.endpoint.look()
    assert seen()["name"] == "first"
    assert lab.task(lab.call("DELETE", vm)) == "OK"
    clone(lab, 150, "second")
    assert seen()["name"] == "first"
    assert lab.call("GET", "/nodes/node03/qemu")[1]["name"] == "second"
    lab.endpoint.look()
    assert seen()["name"] == "second"


def test_of_four_clones_to_one_number_one_is_made(proxmox_endpoint: StartEndpoint) -> None:
    lab = proxmox_endpoint()

    def try_clone(number: int) -> str:
        made = answer(lab, "POST", f"{TEMPLATE}/clone", newid=150, name=f"n{number}", full=1)
        return lab.task(made.json()["data"]) if made.status_code == 200 else made.reason

    with ThreadPoolExecutor(4) as pool:
        ends = sorted(pool.map(try_clone, range(4)))
    assert ends == ["OK", *["unable to create VM 150: config file already exists"] * 3]


def test_of_two_writes_with_one_digest_one_wins(proxmox_endpoint: StartEndpoint) -> None:
    lab = proxmox_endpoint({"latency": {"config": 0.05}})
    vm = clone(lab, 150, "vm")
    digest = lab.call("GET", f"{vm}/config")["digest"]

    def write(memory: int) -> str:
        return answer(lab, "PUT", f"{vm}/config", memory=memory, digest=digest).reason

    with ThreadPoolExecutor(2) as pool:
        ends = sorted(pool.map(write, (512, 768)))
    assert ends == ["OK", "checksum mismatch (file change by other user?)"]


def test_of_two_moves_at_once_one_is_made_and_a_failed_one_leaves_nothing(
    proxmox_endpoint: StartEndpoint,
) -> None:
    lab = proxmox_endpoint()
    vm = clone(lab, 150, "vm")
    lab.call("PUT", f"{vm}/config", scsi1="data2:1")
    failed = lab.call("POST", f"{vm}/migrate", target="node02")
    assert lab.task(failed) == "storage 'data2' is not available on node 'node02'"
    volumes, lock = lab.endpoint.cluster.volumes, lab.endpoint.cluster.vms[150].flock
    assert volumes.owned(150, "node02") == []

    lab.run(lock.acquire())
    form = {"target": "node02", "targetstorage": "data2:local-lvm"}
    begun = [lab.call("POST", f"{vm}/migrate", **form) for _ in range(2)]
    lab.loop.call_soon_threadsafe(lock.release)
    ends = sorted(map(lab.task, begun))
    gone = "Configuration file 'nodes/node03/qemu-server/150.conf' does not exist"
    assert ends == [gone, "OK"]
    config = lab.call("GET", "/nodes/node02/qemu/150/config")
    held = {config[slot].partition(",")[0] for slot in ("scsi0", "scsi1", "ide2")}
    assert {volume.volid for volume in volumes.owned(150, "node02")} == held


def test_the_machine_gets_what_cloud_init_needs(proxmox_endpoint: StartEndpoint) -> None:
    machines = Watched()
    lab = proxmox_endpoint(machines=machines)
    vm = clone(lab, 150, "k8s-tools")
    lab.call(
        "PUT", f"{vm}/config",
        ciuser="ops", cipassword="hidden", sshkeys="ssh-ed25519%20AAAA%20me%40host",
        ipconfig0="ip=192.168.1.15/24,gw=192.168.1.1", net0="virtio=bc:24:11:00:00:0a,bridge=vmbr0",
    )  # fmt: skip
    start(lab, vm)
    assert lab.task(lab.call("POST", f"{vm}/status/stop")) == "OK"
    start(lab, vm)
    lab.call("PUT", f"{vm}/config", searchdomain="example.lan")
    assert lab.task(lab.call("POST", f"{vm}/status/stop")) == "OK"
    start(lab, vm)
    first, again, changed = machines.boots
    assert (first.name, first.macs) == ("k8s-tools", ("BC:24:11:00:00:0A",))
    assert (first.addresses, first.gateway) == (("192.168.1.15/24",), "192.168.1.1")
    assert "  - ssh-ed25519 AAAA me@host\n" in first.user_data
    assert "hostname: k8s-tools\n" in first.user_data
    assert "password: $5$" in first.user_data
    assert "hidden" not in first.user_data
    assert "mac_address: 'bc:24:11:00:00:0a'" in first.network_config
    assert first.meta_data == again.meta_data != changed.meta_data
    assert "fqdn: k8s-tools.example.lan\n" in changed.user_data


def test_what_is_pending_holds_after_a_reboot(proxmox_endpoint: StartEndpoint) -> None:
    lab = proxmox_endpoint()
    vm = clone(lab, 150, "vm")
    start(lab, vm)
    lab.call("PUT", f"{vm}/config", memory=4096, delete="vga")
    assert {"key": "vga", "value": "serial0", "delete": 1} in lab.call("GET", f"{vm}/pending")
    assert lab.call("GET", f"{vm}/config", current=1)["memory"] == "1024"
    assert lab.task(lab.call("POST", f"{vm}/status/reboot")) == "OK"
    wait_for(lab, vm, "running")
    current = lab.call("GET", f"{vm}/config", current=1)
    assert current["memory"] == "4096"
    assert "vga" not in current


def wait_for(lab: ProxmoxEndpoint, vm: str, status: str) -> None:
    limit = time.monotonic() + 10
    while lab.call("GET", f"{vm}/status/current")["status"] != status:
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_a_guest_that_powers_itself_off_is_seen_as_stopped(proxmox_endpoint: StartEndpoint) -> None:
    lab = proxmox_endpoint()
    vm = clone(lab, 150, "vm")
    start(lab, vm)
    lab.call("PUT", f"{vm}/config", cores=4)
    lab.run(lab.machines.stop(150))
    assert lab.call("GET", f"{vm}/status/current")["status"] == "stopped"
    assert lab.call("GET", f"{vm}/config", current=1)["cores"] == 4


def test_a_second_cloud_init_drive_is_refused(proxmox_endpoint: StartEndpoint) -> None:
    lab = proxmox_endpoint()
    vm = clone(lab, 150, "vm")
    refused = answer(lab, "PUT", f"{vm}/config", ide1="local-lvm:cloudinit")
    assert refused.reason == "cloud-init drive is already attached at 'ide2'"
    lab.call("PUT", f"{vm}/config", delete="ide2")
    lab.call("PUT", f"{vm}/config", ide1="local-lvm:cloudinit")
    config = lab.call("GET", f"{vm}/config")
    assert config["ide1"] == "local-lvm:vm-150-cloudinit,media=cdrom"
    assert not [name for name in config if name.startswith("unused")]


def test_a_thin_storage_makes_raw_disks_alone(proxmox_endpoint: StartEndpoint) -> None:
    lab = proxmox_endpoint({"files": {"local:import/a.qcow2": {"size": "1M"}}})
    form: dict[str, str | int] = {"vmid": 150, "scsi0": "local-lvm:1,format=qcow2"}
    refused = lab.task(lab.call("POST", "/nodes/node03/qemu", **form))
    assert refused.startswith("unable to create VM 150 - unsupported format 'qcow2' at ")
    form["scsi0"] = "local-lvm:0,format=qcow2,import-from=local:import/a.qcow2"
    assert lab.task(lab.call("POST", "/nodes/node03/qemu", **form)) == "OK"


def test_a_template_on_thin_storage_outlives_its_linked_clones_or_not(
    proxmox_endpoint: StartEndpoint,
) -> None:
    lab = proxmox_endpoint()
    assert lab.task(lab.call("POST", f"{TEMPLATE}/clone", newid=150, name="linked")) == "OK"
    config = lab.call("GET", "/nodes/node03/qemu/150/config")
    assert config["scsi0"] == "local-lvm:vm-150-disk-0,size=3G"
    assert lab.task(lab.call("DELETE", TEMPLATE)) == "OK"


def test_a_token_without_rights_sees_empty_lists(proxmox_endpoint: StartEndpoint) -> None:
    lab = proxmox_endpoint()
    lab.token_id = "root@pam!readonly"
    assert lab.call("GET", "/nodes/node02/qemu") == []
    assert lab.call("GET", "/access/permissions") == {}
    refused = answer(lab, "GET", "/nodes/node02/qemu/110/config")
    assert (refused.status_code, refused.reason) == (
        403, "Permission check failed (/vms/110, VM.Audit)",
    )  # fmt: skip


def test_a_ticket_writes_only_with_its_csrf_token(proxmox_endpoint: StartEndpoint) -> None:
    lab = proxmox_endpoint()
    login = answer(
        lab, "POST", "/access/ticket", username="root@pam", password=lab.secrets["root@pam"]
    ).json()["data"]
    with lab.session() as session:
        del session.headers["Authorization"]
        session.cookies.set("PVEAuthCookie", login["ticket"])
        url = f"{lab.url}/api2/json/nodes/node02/qemu/110/config"
        assert session.get(url).status_code == 200
        refused = session.put(url, data={"onboot": 1})
        assert (refused.status_code, refused.content) == (401, b"")
        assert refused.reason == "Permission denied - invalid csrf token"
        session.headers["CSRFPreventionToken"] = login["CSRFPreventionToken"]
        assert session.put(url, data={"args": "-foo"}).status_code == 200


def test_a_wrong_token_waits_for_its_refusal(proxmox_endpoint: StartEndpoint) -> None:
    lab = proxmox_endpoint({"timing": {"auth_failure": 0.3}})
    with lab.session() as session:
        session.headers["Authorization"] = "PVEAPIToken=root@pam!stackyard=wrong"
        refused = session.get(f"{lab.url}/api2/json/nodes")
    assert (refused.status_code, refused.reason) == (401, "Authentication failed!")
    assert refused.content == b""
    assert refused.elapsed.total_seconds() >= 0.3


def test_a_node_that_is_down_does_not_hide_the_others(proxmox_endpoint: StartEndpoint) -> None:
    lab = proxmox_endpoint()
    lab.endpoint.take_down("node02", "No route to host")
    refused = answer(lab, "GET", "/nodes/node02/qemu")
    assert (refused.status_code, refused.reason, refused.content) == (595, "No route to host", b"")
    states = {node["node"]: node["status"] for node in lab.call("GET", "/nodes")}
    assert states == {"node01": "online", "node02": "offline", "node03": "online"}
    assert 110 in [vm["vmid"] for vm in lab.call("GET", "/cluster/resources", type="vm")]
    lab.endpoint.bring_up("node02")
    assert len(lab.call("GET", "/nodes/node02/qemu")) == 2


def test_ordered_faults_strike_before_or_after_the_effect(proxmox_endpoint: StartEndpoint) -> None:
    lab = proxmox_endpoint()
    config = "/nodes/node02/qemu/110/config"
    lab.set_fault("PUT", r"/110/config$", status=596, reason="Broken pipe")
    assert answer(lab, "PUT", config, cores=3).status_code == 596
    assert lab.call("GET", config)["cores"] == 2
    lab.set_fault("PUT", r"/110/config$", drop=True, after=True)
    with pytest.raises(requests.ConnectionError):
        answer(lab, "PUT", config, cores=3)
    assert lab.call("GET", config)["cores"] == 3


def test_the_log_of_requests_has_names_and_no_values(proxmox_endpoint: StartEndpoint) -> None:
    lab = proxmox_endpoint()
    lab.call("PUT", "/nodes/node02/qemu/110/config", cipassword="do-not-tell", cores=1)
    lab.call("GET", "/cluster/resources", type="vm")
    write, read = lab.requests()
    assert write["params"] == ["cipassword", "cores"]
    assert (write["method"], write["path"]) == ("PUT", "/nodes/node02/qemu/110/config")
    assert (write["status"], write["user"]) == (200, "root@pam!stackyard")
    assert read["path"] == "/cluster/resources"
    text = lab.log.read_text()
    assert "do-not-tell" not in text
    assert lab.token_secret not in text


def test_a_platform_that_the_api_would_refuse_does_not_start(
    proxmox_endpoint: StartEndpoint,
) -> None:
    guest = {"node": "node01", "vmid": 300, "config": {"scsi0": "local:8"}}
    with pytest.raises(PlatformError, match=r"'wrong' \(300\).*'local' does not support vm images"):
        proxmox_endpoint({"vms": {"wrong": guest}})


def test_a_thousand_vms_are_all_listed(proxmox_endpoint: StartEndpoint) -> None:
    guests = {
        f"vm{n}": {"node": "node01", "vmid": 2000 + n, "config": {"scsi0": "local-lvm:8"}}
        for n in range(1000)
    }
    lab = proxmox_endpoint({"vms": guests})
    assert len(lab.call("GET", "/nodes/node01/qemu")) == 1001
    assert len(lab.call("GET", "/cluster/resources")) > 1000
