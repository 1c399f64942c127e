"""What a plan takes from storages and gives back to them, read from its steps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stackyard.definitions.model import Disk
from stackyard.plan.observed import Observed
from stackyard.plan.values import (
    Action,
    Clone,
    Configure,
    Create,
    Delete,
    Erase,
    Grow,
    Migrate,
    MoveDisk,
    Plan,
    Step,
)


@dataclass(frozen=True, slots=True)
class Allocation:
    """Room that a VM takes on a storage of a node; negative where it gives some back."""

    name: str
    node: str
    slot: str
    storage: str
    size_bytes: int
    disk_bytes: int  # of the whole disk, where it is one that grows


def allocations(plan: Plan, observed: Observed) -> tuple[Allocation, ...]:
    """Return all of them, in the order of the plan; volumes given back before others are taken."""
    disks = {vm.vmid: vm.config.disks() for vm in observed.vms if vm.config}
    parts: list[Allocation] = []
    for action in plan.actions:
        there = {} if action.verb == "create" else dict(disks.get(action.vmid, {}))
        parts += _of_action(action, there, disks)
        disks[action.vmid] = there  # a template is made before its clones
    return tuple(parts)


def _of_action(
    action: Action, there: dict[str, Disk], disks: Mapping[int, dict[str, Disk]]
) -> Iterator[Allocation]:
    """Yield what an action takes; `there` becomes the disks that the VM has after it."""
    node = action.node
    for step in action.steps:
        if isinstance(step, Clone):  # where a linked one stays
            there.update(disks.get(step.template_vmid, {}))
        for slot, storage, size in _of_step(step, there, disks):
            whole = step.size_bytes if isinstance(step, Grow) else size
            yield Allocation(action.name, node, slot, storage, size, whole)
            _note(step, slot, storage, size, there)
        if isinstance(step, Migrate):
            node = step.target
            for slot, storage, size in _moved(step, there):
                yield Allocation(action.name, node, slot, storage, size, size)
        elif isinstance(step, Delete):
            node = action.target or node
            there.clear()


def _of_step(
    step: Step, there: dict[str, Disk], disks: Mapping[int, dict[str, Disk]]
) -> Iterator[tuple[str, str, int]]:
    """Yield slot, storage and bytes of what a step takes."""
    match step:
        case Clone(full=True):
            for slot, disk in disks.get(step.template_vmid, {}).items():
                yield slot, step.storage or disk.storage or "", disk.size_bytes or 0
        case Create() | Configure():
            yield from (
                (disk.slot, disk.storage or "", _new_bytes(disk))
                for disk in (change.after for change in step.changes)
                if isinstance(disk, Disk) and disk.volume is None and disk.media == "disk"
            )
        case Grow():
            grown = there.get(step.slot, Disk(step.slot, "disk"))
            yield step.slot, grown.storage or "", step.size_bytes - (step.before_bytes or 0)
        case MoveDisk():
            yield step.slot, step.storage, step.size_bytes or 0
        case Erase() | Delete():
            gone = {step.slot: step.disk} if isinstance(step, Erase) else there
            yield from (
                (slot, disk.storage or "", -(disk.size_bytes or 0)) for slot, disk in gone.items()
            )


def _new_bytes(disk: Disk) -> int:
    """Return what a new disk takes; what an image grows to is counted with its growth."""
    return 0 if disk.import_from else disk.size_bytes or 0


def _note(step: Step, slot: str, storage: str, size: int, there: dict[str, Disk]) -> None:
    """Remember where a disk is now, for the steps after this one."""
    if isinstance(step, Clone | Create | Configure | MoveDisk):
        there[slot] = Disk(slot, "disk", storage=storage, size_bytes=size)
    elif isinstance(step, Grow):
        there[slot] = Disk(slot, "disk", storage=storage, size_bytes=step.size_bytes)


def _moved(step: Migrate, there: dict[str, Disk]) -> Iterator[tuple[str, str, int]]:
    pairs = dict(pair.split(":", 1) for pair in step.storages)
    for slot, disk in there.items():
        if disk.media == "disk" and disk.storage:
            storage = pairs.get(disk.storage, disk.storage)
            there[slot] = Disk(slot, "disk", storage=storage, size_bytes=disk.size_bytes)
            yield slot, storage, disk.size_bytes or 0
