"""`import` and `drift`: what is there becomes a definition, and what is not as defined is told."""

import json
import signal
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml
from apply_site import KEY, Site, make_site, vm
from proxmox_lab import StartEndpoint

from stackyard.fleet import load_site
from stackyard.proxmox.adopt import HIDDEN_POOL, find_vm
from stackyard.proxmox.client import Client
from stackyard.proxmox.settings import Settings

ROOT = Path(__file__).parents[2]
FOREIGN: dict[str, Any] = {
    "vmid": 333,
    "name": "by-hand",
    "cores": 2,
    "memory": "2048",
    "cpu": "x86-64-v2-AES",
    "scsihw": "virtio-scsi-single",
    "boot": "order=scsi0",
    "scsi0": "local-lvm:8,iothread=1,aio=native",
    "scsi1": "data2:1,backup=0",
    "ide1": "local-lvm:cloudinit",
    "ide2": "local:iso/talos.iso,media=cdrom",
    "net0": "virtio=BC:24:11:00:03:33,bridge=vmbr0,firewall=1,tag=20",
    "net1": "e1000=BC:24:11:00:03:34,bridge=vmbr0",
    "ipconfig0": "ip=192.168.1.33/24,gw=192.168.1.1",
    "ipconfig1": "ip=dhcp",
    "ipconfig3": "ip=10.9.9.9/24",  # of no card
    "ciuser": "ops",
    "sshkeys": KEY.replace(" ", "%20").replace("/", "%2F").replace("+", "%2B").replace("@", "%40"),
    "nameserver": "192.168.1.3 192.168.1.4",
    "tags": "k8s;web",
    "description": "made by hand\nin two lines",
    "serial0": "socket",
}


def make(site: Site, node: str, **config: Any) -> None:
    assert site.endpoint.task(site.endpoint.call("POST", f"/nodes/{node}/qemu", **config)) == "OK"


def test_what_is_imported_stays_as_it_is(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    defaults: dict[str, Any] = {
        "ciuser": "somebody",
        "searchdomain": "lan",
        "clone": "ubuntu24-template",
    }
    defaults |= {"networks": [{"bridge": "vmbr1"}] * 5, "numa": True, "onboot": True}
    defaults |= {"ipconfig3": "ip=dhcp", "ipconfig4": "ip=dhcp"}  # by-hand has two cards
    defaults |= {"automatic_reboot": False, "groups": ["ours"], "managed": False}
    (site.path / "vms" / "_defaults.yaml").write_text(yaml.safe_dump(defaults))
    make(site, "node03", **FOREIGN)
    make(site, "node01", vmid=334, name="bare")
    audit = tmp_path / "audit.jsonl"

    first = site.run("import", "by-hand", "--audit", str(audit))
    second = site.run("import", "--vmid", "334")
    third = site.run("import", "legacy")

    assert first.returncode == 0, first.stderr
    assert second.returncode == 0, second.stderr
    assert third.returncode == 0, third.stderr
    written = map(str, (site.path / "vms").glob("[!_]*.yaml"))
    lint = [f"{sysconfig.get_path('scripts')}/yamllint", "--strict", "-c", str(ROOT / ".yamllint")]
    linted = subprocess.run([*lint, *written], capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout) == (0, "")
    assert "warning: by-hand: ipconfig3 has no card, so " in first.stderr
    written = yaml.safe_load((site.path / "vms" / "by-hand.yaml").read_text())
    assert written["vmid"] == 333
    assert written["managed"]
    assert written.keys().isdisjoint({"automatic_reboot", "groups"})
    assert written["sshkeys"] == KEY
    assert [disk["slot"] for disk in written["disks"]] == ["ide1", "ide2", "scsi0", "scsi1"]
    assert site.config("by-hand")["tags"] == "k8s;stackyard;web"
    entry = json.loads(audit.read_text())
    assert (entry["vm"], entry["after"]) == ("by-hand", {"tags": ["k8s", "stackyard", "web"]})
    site.endpoint.forget_requests()
    plan = site.run("plan")
    assert (plan.returncode, plan.stdout) == (0, "Nothing to do: 3 VMs as wanted.\n")

    again = site.run("import", "by-hand")
    assert again.returncode == 1
    assert "by-hand.yaml is there already" in again.stderr
    assert site.run("import", "by-hand", "--vmid", "333").returncode == 64
    assert "there is no VM named nobody" in site.run("import", "nobody").stderr
    assert site.writes() == []


def test_a_vm_is_imported_with_its_pool(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    endpoint = proxmox_endpoint({"pools": ["k8s", "others"]})
    site = make_site(tmp_path / "site", endpoint, count=0)
    (site.path / "vms" / "_defaults.yaml").write_text(yaml.safe_dump({"pool": "others"}))
    make(site, "node01", vmid=301, name="inside", pool="k8s")
    make(site, "node01", vmid=302, name="outside")

    results = [site.run("import", name) for name in ("inside", "outside")]

    assert [(result.returncode, result.stderr) for result in results] == [(0, "")] * 2
    written = [
        yaml.safe_load((site.path / "vms" / f"{name}.yaml").read_text())["pool"]
        for name in ("inside", "outside")
    ]
    assert written == ["k8s", None]
    assert site.run("plan").stdout == "Nothing to do: 2 VMs as wanted.\n"


class SeesNoPools(Client):
    """What Proxmox answers a token whose permissions end at the VMs."""

    def get(self, path: str, **parameters: Any) -> Any:
        answer = super().get(path, **parameters)
        if path == "/access/permissions":
            return {"/vms": answer["/"]}
        if path == "/cluster/resources":
            return [{key: row[key] for key in row if key != "pool"} for row in answer]
        return answer


def test_a_pool_that_the_token_may_not_see_is_told(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint({"pools": ["k8s"]}), count=0)
    make(site, "node01", vmid=301, name="inside", pool="k8s")

    with SeesNoPools(Settings.from_environment(site.endpoint.environ)) as client:
        found = find_vm(client, load_site(site.path), "inside", None)

    (vm,) = found.observed.vms
    assert (vm.vmid, found.notes) == (301, (HIDDEN_POOL,))


def test_what_cannot_be_taken_over_leaves_nothing(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    make(site, "node01", vmid=400, name="odd", tags="stackyard-odd")
    elsewhere = tmp_path / "odd.yaml"

    refused = site.run("import", "odd")
    outside = site.run("import", "odd", "--output", str(elsewhere))

    assert refused.returncode == 1
    assert refused.stderr == (
        "error: the definition that the import would write is refused: stackyard-odd in tags is "
        "set and removed by stackyard itself: leave it out\n"
    )
    assert not (site.path / "vms" / "odd.yaml").exists()
    assert outside.returncode == 0, outside.stderr
    assert yaml.safe_load(elsewhere.read_text())["vmid"] == 400
    assert site.config("odd")["tags"] == "stackyard-odd"


def test_an_import_goes_by_where_its_file_really_is(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    make(site, "node01", vmid=334, name="bare")
    vms = site.path / "vms"
    (vms / "old").mkdir()

    as_text = site.run("import", "bare", "--output", str(vms / "bare.txt"))
    below = site.run("import", "bare", "--output", str(vms / "old" / "bare.yaml"))
    left = [path for path in vms.rglob("bare*") if path.is_file()]
    roundabout = site.run("import", "bare", "--output", str(vms / "old" / ".." / "bare.yaml"))

    assert as_text.returncode == below.returncode == 1
    assert as_text.stderr == (
        f"error: {vms}/bare.txt would not be read as a definition: name one vms/NAME.yaml\n"
    )
    assert "is a folder with definitions" in below.stderr
    assert left == []
    assert roundabout.returncode == 0, roundabout.stderr
    assert site.config("bare")["tags"] == "stackyard"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_import_that_is_interrupted_in_its_write_says_so(
    proxmox_endpoint: StartEndpoint, tmp_path: Path, number: int
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    make(site, "node01", vmid=334, name="bare")
    begun: list[subprocess.Popen[str]] = []
    site.endpoint.set_fault("PUT", "/334/config$", meanwhile=lambda: begun[0].send_signal(number))
    begun.append(site.begin("import", "bare"))
    _out, err = begun[0].communicate(timeout=60)
    assert begun[0].returncode == 128 + number
    file = site.path / "vms" / "bare.yaml"
    assert err.splitlines() == [
        f"{file} is kept: VM 334 on node01 may have the tag stackyard by now, remove it if not",
        "interrupted",
    ]
    assert file.exists()
    entry = json.loads((site.path / ".stackyard" / "audit.jsonl").read_text())
    assert (entry["vm"], entry["action"], entry["result"]) == ("bare", "import", "failed")


def test_drift_tells_what_differs_and_only_reads(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=4)
    assert site.run("apply", "--yes", "--limit", "k8s-[012]").returncode == 0
    (site.path / "vms" / "k8s-3.yaml").unlink()
    site.endpoint.forget_requests()
    none = site.run("drift")
    assert (none.returncode, none.stdout) == (0, "No drift: 3 VMs as defined.\n")

    site.define(vm(3))
    (site.path / "vms" / "k8s-2.yaml").unlink()
    row = next(row for row in site.vms() if row["name"] == "k8s-0")
    site.endpoint.call("PUT", f"/nodes/node01/qemu/{row['vmid']}/config", onboot=0)
    site.endpoint.forget_requests()
    some = site.run("drift")

    assert some.returncode == 2
    lines = {line.split()[0]: line for line in some.stdout.splitlines()}
    assert "onboot off → on" in lines["k8s-0"]
    assert "is ours and has no definition" in lines["k8s-2"]
    assert "is not there (node01 was to have it)" in lines["k8s-3"]
    last = "Drift: 2 of 3 VMs not as defined, 1 VM of ours without a definition."
    assert some.stdout.splitlines()[-1] == last
    as_json = site.run("drift", "--json", "--limit", "k8s-0")
    assert as_json.returncode == 2
    (action,) = json.loads(as_json.stdout)["waves"][0]
    assert [effect["kind"] for effect in action["effects"]] == ["in-place"]
    assert site.writes() == []
    assert site.run("drift", PROXMOX_URL="https://127.0.0.1:1").returncode == 1
    site.endpoint.endpoint.take_down("node02")
    unknown = site.run("drift")
    assert unknown.returncode == 1
    assert unknown.stderr == "error: not all could be told: node02 did not answer\n"


def test_what_waits_and_what_is_too_much_is_drift(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    site.define({**vm(0), "automatic_reboot": False}, vm(1))
    assert site.run("apply", "--yes").returncode == 0
    site.define({**vm(0), "automatic_reboot": False, "memory": 2048}, vm(1))
    assert site.run("apply", "--yes").returncode == 0
    row = next(row for row in site.vms() if row["name"] == "k8s-1")
    site.endpoint.call(
        "PUT", f"/nodes/node02/qemu/{row['vmid']}/config", net1="virtio,bridge=vmbr0"
    )
    site.endpoint.forget_requests()

    drift = site.run("drift")

    assert drift.returncode == 2
    lines = {line.split()[0]: line for line in drift.stdout.splitlines()}
    assert "memory is pending already: automatic_reboot: false" in lines["k8s-0"]
    assert "net1 virtio on vmbr0" in lines["k8s-1"]
    assert lines["Drift:"] == "Drift: 2 of 2 VMs not as defined."
    plan = site.run("plan", "--json")
    assert plan.returncode == 0
    (waiting,) = json.loads(plan.stdout)["waiting"]
    assert (waiting["name"], waiting["keys"]) == ("k8s-0", ["memory"])
    assert [effect["kind"] for effect in waiting["effects"]] == ["pending"]
    assert site.writes() == []
