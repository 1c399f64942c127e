"""The boot order, which Proxmox itself changes with what is written beside it.

It takes a device that is removed out of the order, and puts each CD-ROM drive that is written at
its end, whatever the same call says of the order; and it refuses an order with a device that the
VM does not have (`update_vm_api` of qemu-server).
"""

from collections.abc import Iterable, Mapping

from stackyard.definitions.model import Disk
from stackyard.plan.observed import Config
from stackyard.plan.values import Change, Value

KEY = "boot"
_ORDER = "order="


def devices_of(boot: Value) -> tuple[str, ...]:
    """Return the devices of a boot order; the letters of older ones name none."""
    text = str(boot or "")
    return tuple(text.removeprefix(_ORDER).split(";")) if text.startswith(_ORDER) else ()


def kept_order(
    wanted: Mapping[str, Value], config: Config, changes: Iterable[Change]
) -> tuple[Change, ...]:
    """Return the write of the wanted order where Proxmox would change it, and nothing else does."""
    changes = tuple(changes)
    if KEY not in wanted or any(change.key == KEY for change in changes):
        return ()
    found = config.values.get(KEY)
    before = devices_of((config.running if KEY in config.pending else config.values).get(KEY))
    gone = {change.key for change in changes if change.after is None}
    drives = {change.key for change in changes if is_cd_rom(change)}
    is_changed = before and bool(gone.intersection(before) or drives.difference(before))
    return (Change(KEY, found, wanted[KEY]),) if is_changed else ()


def is_cd_rom(change: Change) -> bool:
    """Tell whether a change writes a CD-ROM drive, with an image or without."""
    return isinstance(change.after, Disk) and change.after.media == "iso"


def boot_problem(config: Config, changes: Iterable[Change]) -> tuple[tuple[str, str], ...]:
    """Return why Proxmox would refuse the order among the changes; a new VM it gives any order."""
    after = {key for key, value in config.values.items() if value is not None}
    order: tuple[str, ...] = ()
    for change in changes:
        after = after - {change.key} if change.after is None else after | {change.key}
        order = devices_of(change.after) if change.key == KEY else order
    absent = next((device for device in order if device not in after), None)
    if absent is None or not config.values:
        return ()
    why = f"boot names {absent}, which the VM does not have: add it, or take it out of boot"
    return ((KEY, why),)
