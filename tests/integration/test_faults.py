"""Each way a cluster fails: the exit code, the sentence, and a following apply that converges."""

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from apply_site import SITE, make_site, vm
from fault_site import Commands
from proxmox_lab import ProxmoxEndpoint, StartEndpoint

from stackyard.lab.api.faults import TaskFault
from stackyard.lab.api.vm import Vm
from stackyard.proxmox import client, jobs

NAMES = ("k8s-0", "k8s-1")
FULL = (
    "clone failed: lvcreate 'pve/vm-1000-disk-0' error:   Cannot create new thin volume, free "
    "space in thin pool pve/data reached threshold."
)
CLONE, CONFIG, RESIZE, START = r"/clone$", r"/config$", r"/resize$", r"/status/start$"


@pytest.fixture
def commands(
    proxmox_endpoint: StartEndpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Commands:
    """A site of two VMs that are still to be made, on a cluster without latencies."""
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=len(NAMES))
    return Commands(site, monkeypatch, capsys)


Order = Callable[[ProxmoxEndpoint], Any]


def fault(method: str, path: str, **how: Any) -> Order:
    return lambda endpoint: endpoint.set_fault(method, path, **how)


def ill(kind: str, exitstatus: str = "", **how: Any) -> Order:
    return lambda endpoint: endpoint.endpoint.set_fault(TaskFault(kind, exitstatus, **how))


# What one VM of two meets; the other one is made all the same.
FAILURES: dict[str, tuple[Order, str]] = {
    "a task fails": (
        ill("qmstart", "start failed: QEMU exited with code 1"),
        "the Proxmox task start of k8s-{} (VM {} on {}) failed: start failed: QEMU exited",
    ),
    "a clone fails": (ill("qmclone", "clone failed: copy failed"), "failed: clone failed: copy"),
    "the storage is full": (ill("qmclone", FULL), "Cannot create new thin volume, free space"),
    "500": (fault("PUT", CONFIG), "500 Internal Server Error"),
    "595 that stays": (
        fault("PUT", CONFIG, status=595, reason="No route to host", times=1000),
        "595 No route to host",
    ),
    "596 that stays": (
        fault("PUT", RESIZE, status=596, reason="Broken pipe", times=1000),
        "596 Broken pipe",
    ),
    "596 after a clone": (
        fault("POST", CLONE, status=596, reason="Broken pipe", after=True),
        "596 Broken pipe",
    ),
    "the digest is stale": (
        fault("PUT", CONFIG, reason="checksum mismatch (file change by other user?)", times=1000),
        "it changed while it was being made, perhaps by another apply; plan again",
    ),
    "a lock that stays": (
        fault("PUT", CONFIG, reason="VM is locked (backup)", times=1000),
        "VM is locked (backup)",
    ),
}
for _when in ("before", "after"):  # a second clone might be a second VM
    _drop = fault("POST", CLONE, drop=True, after=_when == "after")
    FAILURES[f"the connection drops {_when} the clone"] = (_drop, "broke")

# What is the same if it is done twice is done again.
SURVIVED: dict[str, Order] = {
    "502": fault("PUT", CONFIG, status=502, reason="Bad Gateway"),
    "595": fault("POST", START, status=595, reason="No route to host"),
}
for _what, _path, _method in (
    ("configuration", CONFIG, "PUT"),
    ("resize", RESIZE, "PUT"),
    ("start", START, "POST"),
):
    for _when in ("before", "after"):
        _after = _when == "after"
        SURVIVED[f"the connection drops {_when} the {_what}"] = fault(
            _method, _path, drop=True, after=_after
        )
        SURVIVED[f"596 {_when} the {_what}"] = fault(
            _method, _path, status=596, reason="Broken pipe", after=_after
        )


@pytest.mark.parametrize("name", FAILURES)
def test_one_vm_meets_a_fault(commands: Commands, name: str) -> None:
    order, sentence = FAILURES[name]
    order(commands.site.endpoint)
    failed = commands.apply()
    assert failed.code == 1, failed.text
    said = [sentence.partition("{}")[0], sentence.rpartition("{}")[2]]
    assert all(part in failed.out for part in said), failed.out
    assert "VMs did not get there; the rest is kept, run it again" in failed.err
    commands.finish(NAMES)


@pytest.mark.parametrize("name", SURVIVED)
def test_what_can_be_done_twice_is_done_again(commands: Commands, name: str) -> None:
    SURVIVED[name](commands.site.endpoint)
    made = commands.apply()
    assert made.code == 0, made.text
    commands.finish(NAMES)


@pytest.mark.parametrize(("after", "code"), [(False, 0), (True, 1)])
def test_a_change_whose_connection_drops_is_written_again_only_if_it_was_not(
    commands: Commands, after: bool, code: int
) -> None:
    commands.site.define({**vm(0), "memory": 512})
    assert commands.apply().code == 0
    commands.site.define(vm(0))
    commands.site.endpoint.set_fault("PUT", CONFIG, drop=True, after=after)
    changed = commands.apply()
    assert changed.code == code, changed.text
    assert ("broke before the answer came" in changed.out) == after
    commands.finish(NAMES)


def test_an_imported_image_may_take_longer_than_an_answer(
    proxmox_endpoint: StartEndpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = "local:import/data.qcow2"
    endpoint = proxmox_endpoint({"files": {image: {"size": "1M"}}})
    commands = Commands(make_site(tmp_path / "site", endpoint, count=0), monkeypatch, capsys)
    commands.site.define(vm(0))
    assert commands.apply().code == 0
    data = {"slot": "scsi1", "storage": "local-lvm", "size": "2G", "import-from": image}
    commands.site.define({**vm(0), "disks": [*vm(0)["disks"], data]})
    fault("PUT", CONFIG, status=596, reason="Connection timed out", after=True)(endpoint)

    imported = commands.apply()

    assert imported.code == 0, imported.text
    assert commands.site.config("k8s-0")["scsi1"].endswith("size=2G")
    assert commands.run("plan").code == 0


def test_a_disk_may_take_longer_to_delete_than_an_answer(commands: Commands) -> None:
    scratch = {"slot": "scsi1", "storage": "local-lvm", "size": "2G"}
    commands.site.define({**vm(0), "disks": [*vm(0)["disks"], scratch]})
    assert commands.apply().code == 0
    commands.site.define(vm(0))
    slow = {"status": 596, "reason": "Connection timed out", "after": True}
    commands.site.endpoint.set_fault("PUT", CONFIG, **slow)

    deleted = commands.run("apply", "--yes", "--allow-data-loss")

    assert deleted.code == 0, deleted.text
    commands.finish(NAMES)


def test_a_task_that_warns_has_succeeded_and_the_warning_is_shown(commands: Commands) -> None:
    ill("qmstart", "WARNINGS: 1")(commands.site.endpoint)
    made = commands.apply()
    assert made.code == 0, made.text
    assert "start (WARNINGS: 1, see its task on node0" in made.out
    commands.finish(NAMES)


@pytest.mark.parametrize("kind", ["qmclone", "resize", "qmstart"])
def test_a_task_that_hangs_is_given_up_and_finished_later(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(jobs, "TASK_DEADLINE_SECONDS", 0.3)
    monkeypatch.setattr(jobs, "COPY_DEADLINE_SECONDS", 0.3)
    ill(kind, hangs=1.0)(commands.site.endpoint)
    hung = commands.apply()
    assert hung.code == 1, hung.text
    assert "still runs after" in hung.out
    assert "look at it on its node, then run it again" in hung.out
    monkeypatch.undo()
    time.sleep(1.0)  # the task ends; before that it would be met again
    renewed = Commands(commands.site, monkeypatch, commands.capsys)
    renewed.finish(NAMES)


def test_a_lock_that_goes_is_waited_for(commands: Commands) -> None:
    endpoint = commands.site.endpoint
    endpoint.set_fault("PUT", CONFIG, reason="VM is locked (backup)", times=3)
    ill("qmstart", "can't lock file '/x/lock-1000.conf' - got timeout", times=3)(endpoint)
    made = commands.apply()
    assert made.code == 0
    for lock in ("VM is locked (backup)", "can't lock file '/x/lock-1000.conf' - got timeout"):
        assert f"{lock}; tried again for up to 1 s" in made.err
    commands.finish(NAMES)


def test_a_lock_that_is_held_for_a_third_of_our_patience(commands: Commands) -> None:
    """As 20 s are of the minute that a write waits for a lock; the clock here is a second."""
    commands.site.define({**vm(0), "memory": 512, "vm_state": "stopped"})
    assert commands.apply().code == 0
    commands.site.define(vm(0))
    cluster = commands.site.endpoint.endpoint.cluster
    (ours,) = (one for one in cluster.vms.values() if one.label == "k8s-0")

    def lock() -> None:
        ours.config["lock"] = "backup"
        asyncio.get_event_loop().call_later(0.33, ours.config.pop, "lock")

    commands.site.endpoint.set_fault("PUT", CONFIG, meanwhile=lock)
    commands.site.endpoint.set_fault("POST", START, meanwhile=lock)
    assert commands.apply().code == 0
    commands.finish(NAMES)


def test_a_new_vm_that_is_locked_before_it_is_enlarged(commands: Commands) -> None:
    cluster = commands.site.endpoint.endpoint.cluster

    def lock() -> None:
        (new,) = (one for one in cluster.vms.values() if one.label == "k8s-0")
        new.config["lock"] = "backup"
        asyncio.get_event_loop().call_later(0.33, new.config.pop, "lock")

    commands.site.endpoint.set_fault("PUT", "node01/.*/resize", meanwhile=lock)
    made = commands.apply()
    assert made.code == 0, made.text
    commands.finish(NAMES)


@pytest.mark.parametrize("times", [1, 3])
def test_a_resize_whose_answers_are_lost(commands: Commands, times: int) -> None:
    commands.site.endpoint.set_fault("PUT", "node01/.*/resize", status=596, after=True, times=times)
    made = commands.apply()
    assert made.code == 0, made.text
    commands.finish(NAMES)


def test_what_changes_behind_the_resize_is_seen_at_the_end(commands: Commands) -> None:
    """The configuration is read before the resize; the lists that are read last tell of more."""
    cluster = commands.site.endpoint.endpoint.cluster

    def meddle() -> None:
        (new,) = (one for one in cluster.vms.values() if one.label == "k8s-0")
        new.config["memory"] = "4096"

    commands.site.endpoint.set_fault("POST", "node01/.*" + START, meanwhile=meddle)
    made = commands.apply()
    assert made.code == 1
    assert "not as planned after all: ~ k8s-0  memory 4096 → 1024" in made.out


def test_three_rivals_take_the_vmids_first(commands: Commands) -> None:
    endpoint = commands.site.endpoint
    cluster = endpoint.endpoint.cluster
    planned = re.search(r"k8s-0 *create on node01 as (\d+)", commands.run("plan").out)
    assert planned
    rivals = iter(range(int(planned[1]), int(planned[1]) + 3))

    def rival() -> None:
        vmid = next(rivals)
        cluster.vms[vmid] = Vm(vmid, "node01", {"name": f"rival-{vmid}"})

    endpoint.set_fault("POST", "/node01/.*/clone", meanwhile=rival, times=3)
    made = commands.apply()
    assert made.code == 0, made.text
    commands.finish(NAMES)
    (ours,) = (vm.vmid for vm in cluster.vms.values() if vm.label == "k8s-0")
    assert ours == int(planned[1]) + 3
    assert len([v for v in cluster.vms.values() if v.config == {"name": f"rival-{v.vmid}"}]) == 3


def test_the_last_vmid_is_lost_and_the_others_are_told_of(commands: Commands) -> None:
    site = commands.site
    few = {"first": 700, "last": 699 + len(NAMES)}
    (site.path / "inventory" / "site.yml").write_text(yaml.safe_dump({**SITE, "vmid_range": few}))
    planned = re.search(r"k8s-0 *create on node01 as (\d+)", commands.run("plan").out)
    assert planned
    cluster, vmid = site.endpoint.endpoint.cluster, int(planned[1])

    def rival() -> None:
        cluster.vms[vmid] = Vm(vmid, "node01", {"name": "rival"})

    site.endpoint.set_fault("POST", "/node01/.*/clone", meanwhile=rival)
    lost = commands.apply()
    assert lost.code == 1
    assert re.search(r"k8s-1 .*create: clone, configure", lost.out)
    assert "no VMID between 700 and 701 is free for k8s-0" in lost.text
    del cluster.vms[vmid]
    commands.finish(NAMES)


def test_a_secret_that_is_gone_when_a_vmid_was_lost_hides_nothing(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUEST_PASSWORD", "a secret")
    commands.site.define({**vm(0), "cipassword": {"env": "GUEST_PASSWORD"}})
    planned = re.search(r"k8s-0 *create on node01 as (\d+)", commands.run("plan").out)
    assert planned
    cluster, vmid = commands.site.endpoint.endpoint.cluster, int(planned[1])

    def rival() -> None:
        cluster.vms[vmid] = Vm(vmid, "node01", {"name": f"rival-{vmid}"})
        monkeypatch.delenv("GUEST_PASSWORD")

    commands.site.endpoint.set_fault("POST", "/node01/.*/clone", meanwhile=rival)
    lost = commands.apply()
    assert lost.code == 1
    assert re.search(r"k8s-1 .*create: clone, configure", lost.out)
    assert "it got no other one: cipassword of k8s-0 comes from GUEST_PASSWORD" in lost.out
    monkeypatch.setenv("GUEST_PASSWORD", "a secret")
    commands.finish(NAMES)


def test_a_vmid_of_the_definition_is_not_exchanged(commands: Commands) -> None:
    commands.site.define({**vm(0), "vmid": 4000})
    cluster = commands.site.endpoint.endpoint.cluster

    def rival() -> None:
        cluster.vms[4000] = Vm(4000, "node01", {"name": "rival-4000"})

    commands.site.endpoint.set_fault("POST", "/node01/.*/clone", meanwhile=rival)
    lost = commands.apply()
    assert lost.code == 1
    assert "that VMID was taken after the plan was made" in lost.out
    again = commands.apply()
    assert again.code == 1
    assert "the VMID 4000 of k8s-0 belongs to rival-4000 on node01" in again.out
    commands.site.define(vm(0))
    commands.finish(NAMES)


def test_a_volume_that_a_vm_before_has_left_is_named(commands: Commands) -> None:
    left = 'lvcreate error: Logical Volume "vm-4000-cloudinit" already exists in volume group "pve"'
    commands.site.define({**vm(0), "vmid": 4000})
    ill("qmclone", f"clone failed: {left}")(commands.site.endpoint)

    failed = commands.run("apply", "--yes", "--limit", "k8s-0")

    assert failed.code == 1
    assert f"failed: clone failed: {left}" in failed.out
    assert "was taken" not in failed.out


def test_a_token_that_expires_on_the_way(commands: Commands) -> None:
    endpoint = commands.site.endpoint
    reason = "permission denied - invalid PVE token"
    endpoint.set_fault("PUT", CONFIG, status=401, reason=reason, times=1000)
    endpoint.set_fault("GET|POST", "/config|/start|/pending", status=401, reason=reason, times=1000)
    expired = commands.apply()
    assert expired.code == 1
    assert "401 permission denied - invalid PVE token (check the credentials" in expired.text
    commands.finish(NAMES)


def test_a_node_that_is_offline(commands: Commands) -> None:
    endpoint = commands.site.endpoint.endpoint
    endpoint.take_down("node02", "No route to host")
    offline = commands.apply()
    assert offline.code == 1
    assert "k8s-1 is wanted on node02, which is offline or does not answer" in offline.out
    assert commands.site.writes() == []
    endpoint.bring_up("node02")
    commands.finish(NAMES)


def test_who_waits_for_a_vm_on_a_node_that_is_offline_is_told_so(commands: Commands) -> None:
    assert commands.apply().code == 0
    commands.site.endpoint.endpoint.take_down("node02", "No route to host")
    waited = commands.site.run("ready", "k8s-1", "--timeout", "0")
    assert waited.returncode == 1
    assert "it is not on the nodes that answered (node02 did not)" in waited.stdout
    assert "stackyard apply" not in waited.stdout


@pytest.mark.parametrize("command", [["plan"], ["plan", "--prune"], ["drift"]])
def test_a_node_that_is_offline_takes_no_name_from_its_vms(
    commands: Commands, command: list[str]
) -> None:
    assert commands.apply().code == 0
    commands.site.endpoint.endpoint.take_down("node02", "No route to host")
    said = commands.site.run(*command)
    assert said.returncode == 1
    assert "is ours, but its name is not known while node02 does not answer" in said.stdout
    assert "has no definition" not in said.stdout


def test_a_vm_that_somebody_moves_on_the_way_is_left_alone(commands: Commands) -> None:
    commands.site.define({**vm(0), "memory": 512})
    assert commands.apply().code == 0
    commands.site.define(vm(0))
    cluster = commands.site.endpoint.endpoint.cluster
    (ours,) = (one for one in cluster.vms.values() if one.label == "k8s-0")

    def move() -> None:
        ours.node = "node02"

    commands.site.endpoint.set_fault("PUT", CONFIG, meanwhile=move)
    moved = commands.apply()
    assert moved.code == 1
    assert "k8s-0 (VM" in moved.out
    assert "is left alone: it is not there any more, or on another node" in moved.out
    ours.node = "node01"
    commands.finish(NAMES)


def test_a_node_that_goes_offline_on_the_way(commands: Commands) -> None:
    endpoint = commands.site.endpoint

    def fall() -> None:
        endpoint.endpoint.take_down("node02", "No route to host")

    endpoint.set_fault("PUT", "node02/.*/config", meanwhile=fall)
    offline = commands.apply()
    assert offline.code == 1
    assert "595 No route to host" in offline.out
    assert "1 of 2 VMs did not get there" in offline.err
    rows = [line.split()[:4] for line in offline.out.splitlines()[-2:]]
    assert [(name, node, state) for name, _vmid, node, state in rows] == [
        ("k8s-0", "node01", "running"),
        ("k8s-1", "node02", "unknown"),
    ]
    endpoint.endpoint.bring_up("node02")
    commands.finish(NAMES)


def test_without_quorum_nothing_is_written(commands: Commands) -> None:
    endpoint = commands.site.endpoint.endpoint
    endpoint.set_quorum(quorate=False)
    refused = commands.apply()
    assert refused.code == 1
    assert "500 cluster not ready - no quorum?" in refused.out
    assert "2 of 2 VMs did not get there" in refused.err
    endpoint.set_quorum(quorate=True)
    commands.finish(NAMES)


def test_a_quorum_lost_on_the_way(commands: Commands) -> None:
    endpoint = commands.site.endpoint

    def lose() -> None:
        endpoint.endpoint.set_quorum(quorate=False)

    endpoint.set_fault("PUT", CONFIG, meanwhile=lose)
    failed = commands.apply()
    assert failed.code == 1
    assert "Permission denied" in failed.out
    endpoint.endpoint.set_quorum(quorate=True)
    commands.finish(NAMES)


def test_a_template_that_is_missing_on_a_node(commands: Commands) -> None:
    cluster = commands.site.endpoint.endpoint.cluster
    template = cluster.vms.pop(9002)
    missing = commands.apply()
    assert missing.code == 1
    assert "the template ubuntu24-template is not on node02 but on node01, node03" in missing.out
    assert commands.site.writes() == []
    cluster.vms[9002] = template
    commands.finish(NAMES)


def test_a_template_that_goes_on_the_way(commands: Commands) -> None:
    endpoint = commands.site.endpoint
    cluster = endpoint.endpoint.cluster
    gone = []
    endpoint.set_fault(
        "POST", "node02/.*/clone", meanwhile=lambda: gone.append(cluster.vms.pop(9002))
    )
    failed = commands.apply()
    assert failed.code == 1
    assert "unable to find configuration file for VM 9002 on node 'node02'" in failed.out
    cluster.vms[9002] = gone[0]
    commands.finish(NAMES)


def test_a_pveproxy_that_restarts_between_writes_is_waited_for(commands: Commands) -> None:
    endpoint = commands.site.endpoint

    def restart() -> None:
        restarting.append(asyncio.ensure_future(endpoint.endpoint.restart_pveproxy(0.3)))

    restarting: list[asyncio.Future[None]] = []
    endpoint.set_fault("GET", "qmclone.*/status", meanwhile=restart)
    made = commands.run("apply", "--yes", "--limit", "k8s-0")
    assert made.code == 0, made.text
    assert [future.done() for future in restarting] == [True]
    commands.finish(NAMES)


@pytest.mark.parametrize(("method", "path"), [("PUT", CONFIG), ("PUT", RESIZE), ("POST", START)])
def test_a_pveproxy_that_restarts_under_a_write_is_waited_for(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    monkeypatch.setattr(client, "LOCK_DEADLINE_SECONDS", 15.0)  # the server stops in its own time
    endpoint = commands.site.endpoint

    def restart() -> None:
        restarting.append(asyncio.ensure_future(endpoint.endpoint.restart_pveproxy(0.3)))

    restarting: list[asyncio.Future[None]] = []
    endpoint.set_fault(method, path, meanwhile=restart)
    made = commands.run("apply", "--yes", "--limit", "k8s-0")
    assert made.code == 0, made.text
    assert [future.done() for future in restarting] == [True]
    commands.finish(NAMES)
