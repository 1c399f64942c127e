"""From a difference to steps in an order that a kill at any point does not spoil.

Everything a later run needs in order to go on is in Proxmox before it is needed: the tag is set
with the configuration, a due restart is a tag, and what a disk or the power lacks can be seen.
"""

from dataclasses import replace

from stackyard.definitions.hardware import EfiDisk, TpmState
from stackyard.definitions.model import Definition, Disk
from stackyard.plan import booting
from stackyard.plan.availability import Power, power_of, power_steps
from stackyard.plan.differ import Difference
from stackyard.plan.hotplug import needs_restart, stays_pending
from stackyard.plan.observed import TAG, UNCONFIGURED, Config, ObservedVm
from stackyard.plan.unread import remembered, untag
from stackyard.plan.values import (
    Change,
    Configure,
    Erase,
    Grow,
    MakeTemplate,
    Migrate,
    MoveDisk,
    Reboot,
    Step,
)

Stored = Disk | EfiDisk | TpmState  # what has a volume on a storage


def steps_of_new(
    definition: Definition,
    difference: Difference,
    config: Config,
    vm: ObservedVm | None = None,
    move: Migrate | None = None,
) -> list[Step]:
    """Return what a clone with this configuration still needs; `vm` where it is there already."""
    changes = [change for change in difference.changes if change.key != "tags"]
    tags = tuple(sorted({*definition.tags, TAG, UNCONFIGURED}))
    changes.append(Change("tags", config.tags, tags))
    if "description" not in {change.key for change in changes}:
        changes.append(Change("description", config.values.get("description"), None))
    steps: list[Step] = []
    if difference.leaving and config.values.get("protection") is True:  # its template's
        steps.append(Configure((Change("protection", True, False),)))
        wanted = next((c.after for c in changes if c.key == "protection"), True)
        changes = [change for change in changes if change.key != "protection"]
        changes += [Change("protection", False, True)] if wanted is True else []
    steps += _write(difference, tuple(changes), vm, move)
    steps += _disk_steps(difference)
    return steps + finish(definition, power_steps(definition, vm.ha if vm else None, "stopped"))


def steps_of_existing(
    definition: Definition,
    difference: Difference,
    vm: ObservedVm,
    config: Config,
    move: Migrate | None,
) -> list[Step]:
    """Return what turns a VM that is ours into the wanted one; empty where it is."""
    stays = stays_running(definition, vm)
    reboots = stays and definition.automatic_reboot and restart_is_due(difference, config)
    changes = tuple(
        _timed(change, config, reboots, stays)
        for change in remembered(difference, config, reboots, stays)
    )
    later = steps_after_restart(difference, config) if stays else ()
    erased = tuple(
        replace(erase, when=_timed(_as_change(erase), config, reboots, stays).when)
        for erase in difference.erased
    )
    difference = replace(difference, erased=erased)
    power = power_steps(definition, vm.ha, vm.status)
    steps: list[Step] = list(power.first)
    if vm.status == "stopped" and (move or _disk_steps(difference)):
        steps += _settle(config)
    steps += _write(difference, changes, vm, move)
    steps += [step for step in _disk_steps(difference) if step not in later]
    if reboots:
        steps += [Reboot(), *untag(changes, config), *later]
    return steps + finish(definition, power, vm.template)


def stays_running(definition: Definition, vm: ObservedVm) -> bool:
    """Tell whether a VM runs before and after its changes."""
    return vm.status == "running" and power_of(definition) != "stopped"


def steps_after_restart(difference: Difference, config: Config) -> tuple[Grow | MoveDisk, ...]:
    """Return the steps on disks of a running VM that are another disk after its next restart.

    The restart writes down what waits, with the volume and the size that the disk had before: a
    move done earlier would be lost, and its new volume with it.
    """
    cold = cold_slots(difference, config)
    return tuple(step for step in _disk_steps(difference) if step.slot in cold)


def cold_slots(difference: Difference, config: Config) -> set[str]:
    """Return the slots for which a value waits for a restart of the running VM, or is going to."""
    changed = {change.key: stays_pending(change, config) for change in difference.changes}
    return {key for key in (*changed, *config.pending) if changed.get(key, True)}


def _settle(config: Config) -> list[Step]:
    """Let Proxmox write down what waits for the start of a stopped VM, before a disk of it moves.

    Any write does: here that of the tags that it has.
    """
    if config.pending & config.disks().keys():
        return [Configure((Change("tags", config.tags, config.tags),))]
    return []


def _timed(change: Change, config: Config, reboots: bool, stays: bool) -> Change:
    """Note when a change takes effect."""
    if not stays or not needs_restart(change, config):
        return change
    return replace(change, when="restart" if reboots else "held")


def _as_change(erase: Erase) -> Change:
    return Change(erase.slot, erase.disk, None)


def _disk_steps(difference: Difference) -> list[Grow | MoveDisk]:
    """Return what the configuration's write cannot do; a disk grows where it is going to stay."""
    return [*difference.moves, *difference.grows]


def _write(
    difference: Difference,
    changes: tuple[Change, ...],
    vm: ObservedVm | None,
    move: Migrate | None,
) -> list[Step]:
    """Return the writes of the configuration, around the move to another node where there is one.

    A disk's options are written, and a disk is deleted, by the name of its volume, which the move
    may change.
    """
    if vm is None or move is None:
        return [*difference.erased, *_configure(difference.released, changes)]
    found = vm.config.disks() if vm.config else {}
    early = tuple(
        replace(c, before=found[c.key], after=replace(c.after, storage=found[c.key].storage))
        for c in changes
        if isinstance(c.before, Disk) and isinstance(c.after, Disk)
    )
    options = {change.key for change in early}
    late = tuple(change for change in changes if change.key not in options)
    before = [*difference.erased, *_configure((), early)]
    return [*before, move, *_configure(difference.released, late)]


def move_of(definition: Definition, vm: ObservedVm, shared: frozenset[str]) -> Migrate | None:
    """Return the move to the wanted node, or None where the VM is on it already."""
    if vm.node == definition.target_node:
        return None
    mapped = _storages_of_move(definition, vm.config or Config(), shared)
    pairs = tuple(f"{before}:{after}" for before, after in sorted(mapped.items()))
    return Migrate(vm.node, definition.target_node, stays_running(definition, vm), pairs)


def _storages_of_move(
    definition: Definition, config: Config, shared: frozenset[str]
) -> dict[str, str]:
    """Return where the contents of each storage go: Proxmox maps storages, not disks.

    What is on a shared storage stays there. What cannot be moved again has the first say: an EFI
    disk, a TPM state, and, as long as the VM runs, a cloud-init drive.
    """
    mapped: dict[str, str] = {}
    wanted: list[tuple[str, Stored]] = [
        (key, device) for key, device in definition.devices.items() if isinstance(device, Stored)
    ]
    by_slot = sorted(definition.disks, key=lambda disk: disk.media != "cloudinit")
    for key, device in [*wanted, *((disk.slot, disk) for disk in by_slot)]:
        before = config.values.get(key)
        if isinstance(before, Stored) and before.storage and device.storage:
            mapped.setdefault(before.storage, device.storage)
    local = mapped.keys() - shared
    return {before: after for before, after in mapped.items() if before in local - {after}}


def after_move(config: Config, move: Migrate, files: frozenset[str]) -> Config:
    """Predict the configuration on the other node; `files` are the storages that keep files."""
    mapped = dict(pair.split(":") for pair in move.storages)
    moved = {
        key: _on_storage(value, mapped[value.storage], files)
        for key, value in config.values.items()
        if isinstance(value, Stored) and value.storage in mapped
    }
    return replace(config, values={**config.values, **moved})


def _on_storage(stored: Stored, storage: str, files: frozenset[str]) -> Stored:
    """Return what moves to another storage as it is there: from blocks a raw file is made."""
    if isinstance(stored, TpmState):
        return replace(stored, storage=storage)
    form = (stored.format or "raw") if storage in files else None
    return replace(stored, storage=storage, format=form)


def restart_is_due(difference: Difference, config: Config) -> bool:
    """Tell whether a running VM is as wanted only after a restart."""
    changes = (*difference.changes, *map(_as_change, difference.erased))
    return (
        any(needs_restart(change, config) for change in changes)
        or bool(difference.waiting)
        or config.is_unread
    )


def _configure(released: tuple[Change, ...], changes: tuple[Change, ...]) -> list[Step]:
    """Put everything into one write, after one that frees the drives in the way.

    Proxmox allocates new volumes of a write before it frees the old ones, and every cloud-init
    volume of a VM has the same name. CD-ROM drives change a boot order of the same write. The first
    writes leave a fresh clone marked as half made.
    """
    is_ordered = any(change.key == booting.KEY for change in changes)
    drives = tuple(change for change in changes if is_ordered and booting.is_cd_rom(change))
    rest = tuple(change for change in changes if change not in drives)
    return [Configure(written) for written in (released, drives, rest) if written]


def finish(definition: Definition, power: Power, is_template: bool = False) -> list[Step]:
    """Return what comes last: becoming a template, or the power that is wanted."""
    if definition.template and not is_template:
        return [MakeTemplate()]
    return list(power.last)
