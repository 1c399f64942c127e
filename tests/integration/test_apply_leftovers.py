"""A making that Proxmox itself never ended: its lock is there, and no task that holds it."""

import json
from pathlib import Path
from typing import Any

import pytest
from apply_site import Site, make_site
from fault_site import Commands
from proxmox_lab import StartEndpoint

from stackyard.lab.api.faults import TaskFault
from stackyard.lab.api.vm import Vm
from stackyard.plan.observed import marker

NAMES = ("k8s-0", "k8s-1")
BROKEN_OFF: dict[str, dict[str, Any]] = {
    "before its first disk": {"description": " qmclone temporary file", "lock": "clone"},
    "between its disks": {"name": "k8s-0", "description": marker("k8s-0"), "lock": "clone"},
    "before its creation": {"lock": "create"},
}


@pytest.fixture
def site(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> Site:
    return make_site(tmp_path / "site", proxmox_endpoint(), count=len(NAMES))


@pytest.fixture
def commands(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Commands:
    return Commands(site, monkeypatch, capsys)


def leave(commands: Commands, config: dict[str, Any]) -> int:
    """Leave a VM behind where k8s-0 was being made; return its VMID."""
    plan = json.loads(commands.run("plan", "--json").out)
    (action,) = (a for wave in plan["waves"] for a in wave if a["name"] == "k8s-0")
    vmid = int(action["vmid"])
    commands.site.endpoint.endpoint.cluster.vms[vmid] = Vm(vmid, "node01", dict(config))
    return vmid


def log_in_as_root(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROXMOX_TOKEN_ID")
    monkeypatch.delenv("PROXMOX_TOKEN_SECRET")
    monkeypatch.setenv("PROXMOX_PASSWORD", commands.site.endpoint.secrets["root@pam"])


@pytest.mark.parametrize("when", BROKEN_OFF)
def test_a_token_is_told_what_root_has_to_do(commands: Commands, when: str) -> None:
    vmid = leave(commands, BROKEN_OFF[when])
    refused = commands.apply()
    assert refused.code == 1
    lock = BROKEN_OFF[when]["lock"]
    assert f"! k8s-0: VM {vmid} on node01 was left locked ({lock})" in refused.out
    assert f"run `qm unlock {vmid} && qm destroy {vmid}` as root on node01" in refused.out
    assert commands.site.writes() == []
    commands.site.endpoint.endpoint.cluster.vms.pop(vmid)
    commands.finish(NAMES)


@pytest.mark.parametrize("when", BROKEN_OFF)
def test_root_removes_it_and_makes_the_vm(
    commands: Commands, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vmid = leave(commands, BROKEN_OFF[when])
    log_in_as_root(commands, monkeypatch)
    plan = commands.run("plan")
    assert plan.code == 2
    left = f"remove what a broken-off {BROKEN_OFF[when]['lock']} left as VM {vmid} on node01"
    assert left in plan.out
    commands.finish(NAMES)


@pytest.mark.parametrize("when", BROKEN_OFF)
def test_a_kept_plan_removes_only_what_it_was_made_for(
    commands: Commands, when: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    vmid = leave(commands, BROKEN_OFF[when])
    log_in_as_root(commands, monkeypatch)
    kept = str(tmp_path / "plan.json")
    assert commands.run("plan", "--out", kept).code == 2
    left = commands.site.endpoint.endpoint.cluster.vms[vmid]
    lock = left.config.pop("lock")
    moved = commands.run("apply", kept, "--yes")
    assert moved.code == 3
    assert f"k8s-0 (VM {vmid} on node01) is left alone: it is not locked" in moved.out
    assert commands.site.endpoint.endpoint.cluster.vms[vmid] is left
    left.config["lock"] = lock
    made = commands.run("apply", kept, "--yes")
    assert made.code == 3  # for k8s-1, which is there by now
    assert "replace: unlock, delete, clone" in made.out
    commands.finish(NAMES)


def test_a_clone_that_somebody_still_makes_is_waited_for(commands: Commands) -> None:
    endpoint = commands.site.endpoint
    vmid = leave(commands, BROKEN_OFF["before its first disk"])
    endpoint.endpoint.cluster.vms.pop(vmid)
    endpoint.endpoint.set_fault(TaskFault("qmclone", hangs=0.5))
    form: dict[str, str | int] = {"name": "k8s-0", "description": marker("k8s-0")}
    endpoint.call("POST", "/nodes/node01/qemu/9001/clone", newid=vmid, full=1, **form)
    assert commands.apply().code == 0
    commands.finish(NAMES)


def test_a_vm_of_ours_that_a_restore_left_locked_is_not_removed(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert commands.apply().code == 0
    cluster = commands.site.endpoint.endpoint.cluster
    (ours,) = (vm for vm in cluster.vms.values() if vm.label == "k8s-0")
    ours.config["lock"] = "create"
    log_in_as_root(commands, monkeypatch)
    refused = commands.apply()
    assert refused.code == 1
    assert f"k8s-0 (VM {ours.vmid} on node01) was left locked (create)" in refused.out
    assert ours.vmid in cluster.vms


def test_a_leftover_can_be_destroyed_by_its_name(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    vmid = leave(commands, BROKEN_OFF["between its disks"])
    refused = commands.run("destroy", "k8s-0", "--yes")
    assert refused.code == 1
    assert f"qm unlock {vmid}" in refused.out
    log_in_as_root(commands, monkeypatch)
    assert commands.run("destroy", "k8s-0", "--yes").code == 0
    assert vmid not in commands.site.endpoint.endpoint.cluster.vms
