"""What may become of a disk: added, enlarged, moved, given other options.

It is never replaced. One that no definition has leaves its slot only where that was agreed to.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal

from stackyard.definitions.disks import ANY_SLOT, whole_kib
from stackyard.definitions.keys import DISK_OPTION_KEYS
from stackyard.definitions.limits import replaced
from stackyard.definitions.model import Disk
from stackyard.plan.desired import unsaid_defaults
from stackyard.plan.values import Change, Grow, MoveDisk

CloneKind = Literal["full", "linked"] | None  # None: the VM is there, or made from nothing
OPTIONS = tuple(key.attribute for key in DISK_OPTION_KEYS)


@dataclass(slots=True)
class DiskWork:
    """What is to be done to a VM's disks, and what cannot be."""

    released: list[Change] = field(default_factory=list)  # cloud-init drives in the way
    changes: list[Change] = field(default_factory=list)
    grows: list[Grow] = field(default_factory=list)
    moves: list[MoveDisk] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)  # slot, what is wrong


def compare_disks(
    wanted: dict[str, Disk],
    found: dict[str, Disk],
    leaving: dict[str, Disk],
    keep: dict[str, str],
    clone: CloneKind,
) -> DiskWork:
    """Compare all slots; `clone` says of what kind of clone `found` is going to be.

    `leaving` are the drives that a restart takes out of their slots.
    """
    work = DiskWork()
    _release_cloudinit(wanted, found, work)
    there = {slot: disk for slot, disk in found.items() if slot not in _slots(work.released)}
    for slot, disk in wanted.items():
        if slot in there:
            _compare(disk, there[slot], keep.get(slot, ""), clone, work)
        elif slot in leaving and disk.media == leaving[slot].media == "disk":
            _take_back(disk, leaving[slot], keep.get(slot, ""), work)
        elif disk.import_from:
            work.changes.append(Change(slot, None, replace(disk, size_bytes=None)))
            if disk.size_bytes is not None:  # the image has a size of its own
                work.grows.append(Grow(slot, None, disk.size_bytes))
        elif disk.media == "disk" and disk.size_bytes is None:
            work.problems.append((slot, f"{slot} is a new disk and needs a size"))
        else:
            work.changes.append(Change(slot, None, disk))
    return work


def extra_disks(wanted: dict[str, Disk], found: dict[str, Disk], boot: str) -> tuple[Disk, ...]:
    """Return the disks that a definition with disks of its own does not have, by slot.

    What the VM boots from is none of them, nor are drives: a cloud-init drive or a CD-ROM that a
    template brings is in nobody's way.
    """
    if not any(disk.media == "disk" for disk in wanted.values()):
        return ()
    booted = set(re.split(r"[=;,]", boot))
    return tuple(
        disk
        for slot, disk in sorted(found.items())
        if slot not in wanted
        and slot not in booted
        and disk.media in ("disk", "passthrough")
        and ANY_SLOT.fullmatch(slot)
    )


def _slots(changes: list[Change]) -> set[str]:
    return {change.key for change in changes}


def _release_cloudinit(wanted: dict[str, Disk], found: dict[str, Disk], work: DiskWork) -> None:
    """Proxmox keeps one cloud-init drive a VM: one in another place has to go first."""
    place = next((d for d in wanted.values() if d.media == "cloudinit"), None)
    if place is None:
        return
    for slot, disk in found.items():
        moved = slot != place.slot or disk.storage != place.storage
        if disk.media == "cloudinit" and moved:
            work.released.append(Change(slot, disk, None))


def _compare(wanted: Disk, found: Disk, keep: str, clone: CloneKind, work: DiskWork) -> None:
    problem = _unsupported(wanted, found, clone)
    if problem:
        work.problems.append((wanted.slot, problem))
        return
    if wanted.media == "cloudinit":
        return
    changed = _with_options(wanted, found)
    if changed != found:
        work.changes.append(Change(wanted.slot, found, changed, keep))
    work.moves += _moves(wanted, found)
    size = wanted.size_bytes
    if wanted.media == "disk" and size is not None and size != _told(found):
        work.grows.append(Grow(wanted.slot, found.size_bytes, size))


def _told(found: Disk) -> int | None:
    """Return a disk's size as a definition tells it; an imported image may have any."""
    return found.size_bytes and whole_kib(found.size_bytes)


def _take_back(wanted: Disk, found: Disk, keep: str, work: DiskWork) -> None:
    """Let a disk stay by writing it as it is: a new one would be blank, and take its place."""
    _compare(wanted, found, keep, None, work)
    if wanted.slot not in {*_slots(work.changes), *dict(work.problems)}:
        work.changes.append(Change(wanted.slot, found, found, keep))


def _unsupported(wanted: Disk, found: Disk, clone: CloneKind) -> str | None:
    slot = wanted.slot
    if wanted.media != found.media:
        return _other_media(wanted, found, clone)
    if wanted.media == "passthrough" and wanted.volume != found.volume:
        return f"{slot} passes {found.volume} through, not {wanted.volume}: change it by hand"
    if wanted.media == "disk":
        return next(_unsupported_disk(wanted, found, clone == "linked"), None)
    return None


def _other_media(wanted: Disk, found: Disk, clone: CloneKind) -> str:
    slot, there, asked = wanted.slot, _what(found), _what(wanted)
    if found.media == "cloudinit":
        advice = "put one of the two into another slot"  # it moves to where a definition has it
    else:
        advice = "choose another slot" if clone else "take it out by hand first"
    if clone:
        return f"its template has {there} in {slot}, where {asked} is wanted: {advice}"
    return f"{slot} holds {there}, not {asked}: {advice}"


def _unsupported_disk(wanted: Disk, found: Disk, linked: bool) -> Iterator[str]:
    slot = wanted.slot
    if linked and wanted.storage not in (None, found.storage):
        yield (
            f"{slot} of a linked clone stays on its template's storage {found.storage}, "
            f"not {wanted.storage}: set full_clone: true, or that storage"
        )
    if linked and _other_format(wanted, found):
        yield (
            f"{slot} of a linked clone has the format {found.format} on {found.storage}, "
            f"not {wanted.format}: set full_clone: true, or leave its format out"
        )
    if wanted.size_bytes and found.size_bytes and wanted.size_bytes < found.size_bytes:
        yield (
            f"{slot} has {size_text(found.size_bytes)} and cannot shrink to "
            f"{size_text(wanted.size_bytes)}: set its size to {size_text(found.size_bytes)} or more"
        )


def _moves(wanted: Disk, found: Disk) -> Iterator[MoveDisk]:
    storage = wanted.storage or found.storage
    if wanted.media != "disk" or storage is None:
        return
    if storage != found.storage or _other_format(wanted, found):
        yield MoveDisk(wanted.slot, found.storage, storage, found.size_bytes, wanted.format)


def _other_format(wanted: Disk, found: Disk) -> bool:
    """Tell whether both formats are known and differ; block storages have none to tell."""
    return bool(wanted.format and found.format and wanted.format != found.format)


def _with_options(wanted: Disk, found: Disk) -> Disk:
    options = {name: value for name in OPTIONS if (value := getattr(wanted, name)) is not None}
    there = {name: getattr(found, name) for name in OPTIONS}
    gone = dict.fromkeys(replaced(options, there))
    changed = replace(found, **options | gone | unsaid_defaults(wanted, found))
    return replace(changed, volume=wanted.volume) if wanted.media == "iso" else changed


def _what(disk: Disk) -> str:
    names = {
        "disk": "a disk",
        "cloudinit": "a cloud-init drive",
        "iso": "a CD-ROM",
        "passthrough": "a passed-through device",
    }
    return names[disk.media]


def size_text(size_bytes: int) -> str:
    """Return a size with the largest unit (KiB to TiB, written K to T) that keeps it whole.

    Always with a unit, as definitions have it; single bytes are exact fractions of a KiB.
    """
    for unit, power in (("T", 40), ("G", 30), ("M", 20), ("K", 10)):
        if size_bytes and size_bytes % (1 << power) == 0:
            return f"{size_bytes >> power}{unit}"
    return f"{Decimal(size_bytes) / 1024:f}K"
