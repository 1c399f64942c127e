"""`plan`, `apply` and `destroy` as a person uses them, against the lab's Proxmox endpoint."""

import json
import stat
import threading
import time
from pathlib import Path

import yaml
from apply_site import NAMES, SITE, Site, assert_whole, make_site, vm
from proxmox_lab import StartEndpoint


def test_five_vms_are_made_and_the_second_run_writes_nothing(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint())

    plan = site.run("plan")
    assert plan.returncode == 2
    assert plan.stdout.splitlines()[-1] == "Plan: 5 to create, 0 as wanted."
    assert site.writes() == []

    first = site.run("apply", "--yes")
    assert first.returncode == 0, first.stderr
    assert_whole(site)

    site.endpoint.forget_requests()
    second = site.run("apply", "--yes")
    assert second.returncode == 0
    assert second.stdout == "Nothing to do: 5 VMs as wanted.\n"
    assert site.writes() == []
    assert len(site.endpoint.requests()) == 1 + 3 + 5


def test_changes_are_made_in_place_and_the_guest_restarts_once(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    site.run("apply", "--yes")
    site.define({**vm(0), "memory": 2048, "ipconfig0": "ip=192.168.1.25/24,gw=192.168.1.1"})
    site.endpoint.forget_requests()

    changed = site.run("apply", "--yes")

    assert changed.returncode == 0, changed.stderr
    assert "memory 1024 → 2048 (needs a reboot)" in changed.stdout
    config = site.config("k8s-0")
    assert (config["memory"], config["ipconfig0"]) == ("2048", "ip=192.168.1.25/24,gw=192.168.1.1")
    assert "stackyard-restart" not in config["tags"]
    assert len([w for w in site.writes() if w.endswith("/status/reboot")]) == 1
    assert site.run("plan").returncode == 0


def test_a_disk_grows_and_never_shrinks(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    site.run("apply", "--yes")
    bigger = vm(0)
    bigger["disks"][0]["size"] = "12G"
    bigger["disks"].append({"slot": "scsi1", "type": "disk", "storage": "local-lvm", "size": "2G"})
    site.define(bigger)
    assert site.run("apply", "--yes").returncode == 0
    config = site.config("k8s-0")
    assert "size=12G" in config["scsi0"]
    assert "size=2G" in config["scsi1"]

    site.define(vm(0))
    refused = site.run("apply", "--yes")
    assert refused.returncode == 1
    assert "scsi0 has 12G and cannot shrink to 8G" in refused.stdout
    assert "size=2G" in site.config("k8s-0")["scsi1"]


def test_a_size_that_is_no_whole_kib_is_rounded_up_once(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    sizes = {"scsi0": "9.1G", "scsi1": "1.3G"}  # one grows, one is made
    disks = [{"slot": s, "storage": "local-lvm", "size": size} for s, size in sizes.items()]
    disks.append(vm(0)["disks"][1])
    site.define({**vm(0), "disks": disks})

    applied = site.run("apply", "--yes")

    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert "scsi0 9542042K on local-lvm" in applied.stdout
    assert "size=9542042K" in site.config("k8s-0")["scsi0"]
    assert "size=1363149K" in site.config("k8s-0")["scsi1"]
    again = site.run("plan")
    assert (again.returncode, again.stdout) == (0, "Nothing to do: 1 VM as wanted.\n")


def test_power_follows_the_definition(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    site.run("apply", "--yes")
    site.define({**vm(0), "vm_state": "stopped"})
    assert site.run("apply", "--yes").returncode == 0
    assert site.vms()[0]["status"] == "stopped"
    site.define(vm(0))
    assert site.run("apply", "--yes").returncode == 0
    assert site.vms()[0]["status"] == "running"


def test_a_vm_from_nothing(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    site.define(
        {
            "name": "talos-dev-cp1",
            "target_node": "node03",
            "vm_state": "running",
            "disks": [
                {"slot": "scsi0", "type": "disk", "storage": "data2", "size": "10G"},
                {"slot": "ide2", "type": "cdrom", "iso": "local:iso/talos.iso"},
            ],
            "network": {"bridge": "vmbr0"},
            "tags": ["talos"],
        }
    )
    assert site.run("apply", "--yes").returncode == 0
    config = site.config("talos-dev-cp1")
    assert config["tags"] == "stackyard;stackyard-unconfigured;talos"
    assert config["ide2"].startswith("local:iso/talos.iso,media=cdrom")
    assert site.run("plan").returncode == 0


def test_a_limit_leaves_the_others_alone(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint())
    assert site.run("apply", "--yes", "--limit", "k8s-1", "--limit", "k8s-3").returncode == 0
    assert [row["name"] for row in site.vms()] == ["k8s-1", "k8s-3", "legacy"]
    assert site.run("plan", "--limit", "k8s-1,k8s-3").returncode == 0
    nobody = site.run("plan", "--limit", "web-*")
    assert nobody.returncode == 1
    assert "no managed VM matches 'web-*'" in nobody.stderr


def test_nobody_to_ask(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    unasked = site.run("apply")
    assert unasked.returncode == 1
    assert "give --yes" in unasked.stderr
    assert site.writes() == []


def test_one_failure_stops_that_vm_alone(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint())
    site.define({**vm(1), "network": {"bridge": "vmbr9"}})
    audit = tmp_path / "audit.jsonl"

    failed = site.run("apply", "--yes", "--audit", str(audit))

    assert failed.returncode == 1
    assert "bridge 'vmbr9' does not exist" in failed.stdout
    assert "1 of 5 VMs did not get there" in failed.stderr
    assert "Traceback" not in failed.stderr
    running = {row["name"] for row in site.vms() if row["status"] == "running"}
    assert running >= set(NAMES) - {"k8s-1"}
    assert stat.S_IMODE(audit.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert {"vm": "k8s-1", "action": "start", "result": "failed"}.items() <= next(
        line for line in lines if line["result"] == "failed"
    ).items()

    site.define(vm(1))
    assert site.run("apply", "--yes").returncode == 0
    assert_whole(site)


def test_a_vm_of_somebody_else_is_not_touched(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    site.define({"name": "legacy", "target_node": "node02"})
    for command in (["apply", "--yes"], ["destroy", "legacy", "--yes"]):
        refused = site.run(*command)
        assert refused.returncode == 1
        assert "VM 110 on node02 is named legacy and is not ours" in refused.stdout + refused.stderr
    assert site.writes() == []


def test_destroy_removes_a_running_vm_unless_it_is_protected(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=2)
    site.define({**vm(1), "protection": True})
    assert site.run("apply", "--yes").returncode == 0

    assert "give --yes" in site.run("destroy", "k8s-0").stderr
    gone = site.run("destroy", "k8s-0", "--yes")
    (removal,) = [r for r in site.endpoint.requests() if r["method"] == "DELETE"]
    assert removal["params"] == ["purge"]  # volumes that only bear its number stay
    assert gone.returncode == 0, gone.stdout + gone.stderr
    protected = site.run("destroy", "k8s-1", "--yes")
    assert protected.returncode == 1
    assert "is protected" in protected.stderr
    assert [row["name"] for row in site.vms()] == ["k8s-1", "legacy"]
    (site.path / "vms" / "k8s-0.yaml").unlink()
    assert "there is no VM named k8s-0" in site.run("destroy", "k8s-0", "--yes").stderr


def test_a_change_behind_the_plan_is_not_overwritten(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    endpoint = proxmox_endpoint()
    site = make_site(tmp_path / "site", endpoint, count=1)
    site.run("apply", "--yes")
    site.define({**vm(0), "cores": 4})
    row = next(row for row in site.vms() if row["name"] == "k8s-0")
    path = f"/nodes/{row['node']}/qemu/{row['vmid']}"
    process = start_between(site, f"{path}/pending", f"{path}/config")

    assert process.returncode == 1
    assert "it changed since the plan was made" in process.stdout
    assert site.config("k8s-0")["cores"] == 3


def start_between(site: Site, read: str, write: str) -> "Result":
    """Run an apply and change the VM once it was read: its first write is held back for that."""
    endpoint = site.endpoint
    endpoint.forget_requests()
    endpoint.set_fault("PUT", write, status=500, reason="VM is locked (backup)", times=3)
    done = threading.Event()

    def meddle() -> None:
        while not done.wait(0.02):
            seen = [r for r in endpoint.requests() if r["path"] == read]
            held = [r for r in endpoint.requests() if r["method"] == "PUT"]
            if seen and held:
                break
        endpoint.endpoint.clear_faults()
        endpoint.call("PUT", write, cores=3)

    thread = threading.Thread(target=meddle)
    thread.start()
    try:
        process = site.run("apply", "--yes")
    finally:
        done.set()
        thread.join(10)
    return Result(process.returncode, process.stdout)


class Result:
    def __init__(self, returncode: int, stdout: str) -> None:
        self.returncode = returncode
        self.stdout = stdout


def test_what_went_wrong_is_one_sentence(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    secret = site.endpoint.token_secret
    cases = {
        "401": {"PROXMOX_TOKEN_SECRET": "wrong-secret"},
        "is not trusted": {"PROXMOX_CA": ""},
        "is not the pinned one": {"PROXMOX_CA": "", "PROXMOX_FINGERPRINT": "ab" * 32},
        "Connection refused": {"PROXMOX_URL": "https://127.0.0.1:1"},
        "PROXMOX_URL is not set": {"PROXMOX_URL": ""},
    }
    for said, environ in cases.items():
        failed = site.run("plan", **environ)
        assert failed.returncode == 1
        assert failed.stderr.startswith("error: ")
        assert said in failed.stderr
        assert len(failed.stderr.splitlines()) == 1
        assert secret not in failed.stderr + failed.stdout
        assert "wrong-secret" not in failed.stderr


def test_no_secret_leaves_the_process(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint({"latency": {"clone": 0.5}}), count=2)
    audit = tmp_path / "audit.jsonl"
    process = site.begin("apply", "--yes", "--audit", str(audit))
    while not site.writes():
        time.sleep(0.01)
    argv = Path(f"/proc/{process.pid}/cmdline").read_text()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert site.endpoint.token_secret not in argv + out + err + written


def test_a_vm_is_destroyed_though_no_vmid_is_left_for_another(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    one = {**SITE, "vmid_range": {"first": 700, "last": 700}}
    (site.path / "inventory" / "site.yml").write_text(yaml.safe_dump(one))
    assert site.run("apply", "--yes").returncode == 0
    site.define(vm(1))

    gone = site.run("destroy", "k8s-0", "--yes")

    assert gone.returncode == 0, gone.stderr
    assert [row["name"] for row in site.vms() if row["name"] == "k8s-0"] == []
