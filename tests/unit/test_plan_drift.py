"""What drift tells of a plan: VMs are counted, not sentences."""

from typing import Any

from plan_world import SITE, definition_of, observed_of

from stackyard.plan import make_plan
from stackyard.plan.drift import consent_of_drift, has_drift, render_drift

AS_DEFINED = {"cpu": "host", "onboot": 1, "memory": "1024", "tags": "stackyard"}


def vm(vmid: int, name: str, **config: Any) -> dict[str, Any]:
    place = {"vmid": vmid, "node": "node01", "name": name, "status": "running"}
    return {**place, "config": {**AS_DEFINED, "name": name, **config}}


def drift(vms: list[dict[str, Any]], *wanted: dict[str, Any]) -> list[str]:
    fleet = [definition_of({"target_node": "node01", **plain}) for plain in wanted]
    observed = observed_of({"nodes": {"node01": True}, "vms": vms})
    plan = make_plan(fleet, observed, SITE, consent=consent_of_drift(None))
    assert has_drift(plan) == (not render_drift(plan).startswith("No drift"))
    return render_drift(plan).splitlines()


def test_a_renamed_vm_is_one_that_is_missing_and_one_without_a_definition() -> None:
    assert drift([vm(101, "a"), vm(102, "bx")], {"name": "a"}, {"name": "b"})[-1] == (
        "Drift: 1 of 2 VMs not as defined, 1 VM of ours without a definition."
    )


def test_a_vm_with_several_problems_is_one() -> None:
    disks = [{"slot": slot, "media": "disk", "storage": "a"} for slot in ("scsi0", "scsi1")]
    lines = drift([vm(101, "a")], {"name": "a", "disks": disks})
    assert len(lines) == 3
    assert lines[-1] == "Drift: 1 of 1 VM not as defined."


def test_a_disk_that_no_definition_has_and_a_pending_value_are_drift() -> None:
    disk = {"slot": "scsi0", "media": "disk", "storage": "a", "size": "1G"}
    more = vm(101, "a", scsi0="a:vm-101-disk-0,size=1G", scsi1="a:vm-101-disk-1,size=2G")
    waits = {**vm(102, "b"), "pending": {"memory": "2048"}}
    assert drift(
        [more, waits, vm(103, "c", net0="virtio=BC:24:11:00:00:07,bridge=vmbr0")],
        {"name": "a", "disks": [disk]},
        {"name": "b", "memory_mib": 2048, "automatic_reboot": False},
        {"name": "c"},
    ) == [
        "a  scsi1 disk 2G on a removed, kept as an unused disk",
        "b  memory is pending already: automatic_reboot: false leaves the restart to you",
        "Drift: 2 of 3 VMs not as defined.",
    ]


def test_what_no_protection_would_let_leave_is_drift_like_the_rest() -> None:
    disk = {"slot": "scsi0", "media": "disk", "storage": "a", "size": "1G"}
    held = vm(101, "a", protection=1, scsi0="a:x,size=1G", scsi1="a:y,size=2G")
    wanted = {"name": "a", "disks": [disk], "protection": True, "memory_mib": 2048}
    first, last = drift([held], wanted)
    assert "scsi1 disk 2G on a removed" in first
    assert "memory 1024 → 2048" in first
    assert last == "Drift: 1 of 1 VM not as defined."


def test_an_address_of_the_template_is_no_drift_where_none_is_defined() -> None:
    card = "virtio=BC:24:11:00:00:07,bridge=vmbr0"
    leased = vm(101, "a", net0=card, ipconfig0="ip=dhcp")
    assert drift([leased], {"name": "a", "networks": [{"bridge": "vmbr0"}]}) == [
        "No drift: 1 VM as defined."
    ]
    two = vm(101, "a", net0=card, ipconfig0="ip=dhcp", net1=card, ipconfig1="ip=dhcp")
    (said, _sum) = drift([two], {"name": "a", "networks": [{"bridge": "vmbr0"}]})
    assert "net1" in said
    assert "ipconfig1" in said
    assert "ipconfig0" not in said
