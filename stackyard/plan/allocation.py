"""What a plan takes from storages and gives back to them, read from its steps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stackyard.definitions.hardware import EfiDisk, TpmState
from stackyard.definitions.model import Disk
from stackyard.plan.observed import UNUSED, Observed
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
    Value,
)

_SMALL_BYTES = 4 << 20  # of a cloud-init drive or a TPM state; an EFI disk has as much at most


@dataclass(frozen=True, slots=True)
class Allocation:
    """Room that a VM takes on a storage of a node; negative where it gives some back.

    An image that a disk is imported from has a size that nobody knows before: it takes 0.
    """

    name: str
    node: str
    slot: str
    storage: str
    size_bytes: int
    disk_bytes: int  # of the whole disk, where it is one that grows
    stays: bool = False  # moved to another node on its storage: takes nothing of a shared one


@dataclass(frozen=True, slots=True)
class _Volume:
    """What Proxmox keeps on a storage for images, in a slot of a VM."""

    storage: str
    size_bytes: int


_Volumes = dict[str, _Volume]  # by slot


def allocations(plan: Plan, observed: Observed) -> tuple[Allocation, ...]:
    """Return all of them, in the order of the plan; volumes given back before others are taken."""
    if not plan.waves:  # of a thousand VMs that are as wanted none is looked at
        return ()
    volumes = {vm.vmid: _volumes(vm.config.values) for vm in observed.vms if vm.config}
    parts: list[Allocation] = []
    for action in plan.actions:
        there = {} if action.verb == "create" else dict(volumes.get(action.vmid, {}))
        parts += _of_action(action, there, volumes)
        volumes[action.vmid] = there  # a template is made before its clones
    return tuple(parts)


def _volumes(values: Mapping[str, Value]) -> _Volumes:
    found = ((slot, _volume(slot, value)) for slot, value in values.items())
    return {slot: volume for slot, volume in found if volume}


def _volume(slot: str, value: Value) -> _Volume | None:
    match value:
        case str() if slot.startswith(UNUSED):  # of a size that the configuration does not tell
            return _Volume(value.partition(":")[0], 0)
        case Disk(media="disk"):
            size = 0 if value.import_from else value.size_bytes or 0
            return _Volume(value.storage or "", size)
        case Disk(media="cloudinit") | EfiDisk() | TpmState():
            return _Volume(value.storage or "", _SMALL_BYTES)
    return None


def _of_action(
    action: Action, there: _Volumes, volumes: Mapping[int, _Volumes]
) -> Iterator[Allocation]:
    """Yield what an action takes; `there` becomes the volumes that the VM has after it."""
    node = action.node
    for step in action.steps:
        if isinstance(step, Clone):  # where those of a linked one stay
            copied = volumes.get(step.template_vmid, {})
            there.update({s: v for s, v in copied.items() if not s.startswith(UNUSED)})
        elif isinstance(step, Migrate):
            node = step.target
        for slot, storage, size in tuple(_taken(step, there)):
            whole = step.size_bytes if isinstance(step, Grow) else size
            stays = isinstance(step, Migrate) and storage == there[slot].storage
            yield Allocation(action.name, node, slot, storage, size, whole, stays)
            there[slot] = _Volume(storage, whole)
        for slot in _gone(step, there):
            volume = there.pop(slot, None)
            if volume and volume.size_bytes and isinstance(step, Erase | Delete):
                size = -volume.size_bytes
                yield Allocation(action.name, node, slot, volume.storage, size, size)
        if isinstance(step, Delete):
            node = action.target or node


def _taken(step: Step, there: _Volumes) -> Iterator[tuple[str, str, int]]:
    """Yield slot, storage and bytes of what a step takes."""
    match step:
        case Clone(full=True):
            for slot, volume in there.items():
                yield slot, step.storage or volume.storage, volume.size_bytes
        case Create() | Configure():
            for change in step.changes:
                made = _volume(change.key, change.after) if change.before is None else None
                if made:
                    yield change.key, made.storage, made.size_bytes
        case Grow() if step.slot in there:
            size = step.size_bytes - (step.before_bytes or 0)
            yield step.slot, there[step.slot].storage, size
        case MoveDisk():
            yield step.slot, step.storage, step.size_bytes or 0
        case Migrate():
            pairs = dict(pair.split(":", 1) for pair in step.storages)
            for slot, volume in there.items():
                yield slot, pairs.get(volume.storage, volume.storage), volume.size_bytes


def _gone(step: Step, there: _Volumes) -> tuple[str, ...]:
    """Return the slots that a step empties."""
    match step:
        case Erase():
            return (step.slot,)
        case Delete():
            return tuple(there)
        case Configure():
            return tuple(change.key for change in step.changes if change.after is None)
    return ()
