"""Disks of a definition, in both forms."""

import re
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from math import ceil
from typing import Any

from stackyard.definitions.document import Mapping
from stackyard.definitions.key_reader import Report, check_keys, take
from stackyard.definitions.keys import (
    BUSES_OF,
    DISK_KEYS,
    DISK_OPTION_KEYS,
    FILE_KEY,
    FLAT_DISK_KEYS,
    ISO_KEY,
    SLOT,
)
from stackyard.definitions.limits import contradictions
from stackyard.definitions.model import Disk, DiskMedia
from stackyard.definitions.values import shown

UNITS = {"": 1024**3, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
BUSES = ("scsi", "virtio", "sata", "ide")
ANY_SLOT = re.compile(rf"({'|'.join(BUSES)})\d+")  # with a number that no definition has, too
NEEDED = {
    "disk": ("storage", "size"),
    "cloudinit": ("storage",),
    "passthrough": ("volume",),
    "cdrom": ("volume",),
}
# What each media does not take.
FOREIGN = {
    "cloudinit": ("import-from", *(key.name for key in DISK_OPTION_KEYS)),
    "cdrom": ("import-from", *(key.name for key in DISK_OPTION_KEYS)),
    "passthrough": ("import-from",),
}
MEDIA: dict[str, DiskMedia] = {
    "disk": "disk",
    "cloudinit": "cloudinit",
    "passthrough": "passthrough",
    "cdrom": "iso",
}
# A disk gives few of its forty keys: asking for each takes a second for ten thousand VMs.
DISK_KEY_OF = {key.name: key for key in DISK_KEYS}
VOLUME_KEYS = {"passthrough": FILE_KEY, "cdrom": ISO_KEY}
FLAT_NAMES = dict.fromkeys(key.name for key in FLAT_DISK_KEYS)
NESTED_NAMES = {
    kind: dict.fromkeys((*DISK_KEY_OF, *(k.name for of, k in VOLUME_KEYS.items() if of == kind)))
    for kind in MEDIA
}
# Ten thousand VMs have few different disks, and to make one takes long. What never changes can be
# shared; `typed`, since 1 and 1.0 are equal and yet not written alike.
SHARED_DISK = lru_cache(maxsize=4096, typed=True)(Disk)


def size_in_bytes(text: str) -> int:
    """Return a size as 50G (K, M, G, T; G where there is no unit) in bytes, whole KiB of them.

    Proxmox makes and enlarges disks by whole KiB, and rounds up.

    Raises:
        ValueError: the text is no size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text)
    if not match:
        raise ValueError(text)
    return whole_kib(Decimal(match[1]) * UNITS[match[2]])


def whole_kib(size_bytes: int | Decimal) -> int:
    """Return a number of bytes, rounded up to whole KiB."""
    return ceil(size_bytes / Decimal(1024)) * 1024


def slot_order(slot: str) -> tuple[int, int]:
    """Return a key that sorts slots by bus and number."""
    bus = slot.rstrip("0123456789")
    return BUSES.index(bus), int(slot[len(bus) :])


def read_disks(mapping: Mapping, report: Report) -> tuple[Disk, ...]:
    """Return the disks of both forms; forms that describe different disks are a mistake."""
    nested = list(_nested(mapping, report)) if mapping.get("nested_disks") is not None else None
    flat = list(_flat(mapping, report)) if mapping.get("disks") is not None else None
    for disks, key in ((nested, "nested_disks"), (flat, "disks")):
        _once(disks or [], mapping.line_of(key), report)
    if nested and flat and set(nested) != set(flat):
        report.add(
            mapping.lines["disks"],
            f"disks and nested_disks (line {mapping.lines['nested_disks']}) describe different"
            f" disks in {_different(nested, flat)}: keep one of the two",
        )
    found = tuple(sorted(nested or flat or (), key=lambda disk: slot_order(disk.slot)))
    drives = [disk.slot for disk in found if disk.media == "cloudinit"]
    if len(drives) > 1:
        line = mapping.lines["disks" if nested is None else "nested_disks"]
        report.add(line, f"{' and '.join(drives)} are cloud-init drives: a VM has one at most")
    return found


def _different(nested: list[Disk], flat: list[Disk]) -> str:
    slots = {disk.slot for disk in set(nested) ^ set(flat)}
    return ", ".join(sorted(slots, key=slot_order))


def _once(disks: list[Disk], line: int, report: Report) -> None:
    seen: set[str] = set()
    for disk in disks:
        if disk.slot in seen:
            report.add(line, f"the slot {disk.slot} is used twice")
        seen.add(disk.slot)


def _nested(mapping: Mapping, report: Report) -> Iterator[Disk]:
    buses = mapping["nested_disks"]
    if not isinstance(buses, Mapping):
        line = mapping.lines["nested_disks"]
        report.add(line, f"nested_disks must be a mapping of controllers, not {shown(buses)}")
        return
    check_keys(buses, BUSES, report, " in nested_disks")
    for bus in (bus for bus in BUSES if buses.get(bus) is not None):
        if not isinstance(buses[bus], Mapping):
            report.add(buses.lines[bus], f"{bus} must be a mapping of slots")
            continue
        for slot, content in buses[bus].items():
            line = buses[bus].line_of(slot)
            if not re.fullmatch(SLOT, slot) or not slot.startswith(bus):
                report.add(line, f"{slot} is not a slot of {bus}")
            elif content is not None:
                yield from _nested_slot(slot, content, line, report)


def _nested_slot(slot: str, content: Any, line: int, report: Report) -> Iterator[Disk]:
    if not isinstance(content, Mapping) or len(content) != 1:
        report.add(line, f"{slot} must hold exactly one of {', '.join(MEDIA)}")
        return
    ((kind, values),) = content.items()
    check_keys(content, MEDIA, report, f" in {slot}")
    if kind not in MEDIA:
        return
    if not isinstance(values, Mapping):
        report.add(content.lines.get(kind, line), f"{kind} of {slot} must be a mapping")
        return
    check_keys(values, NESTED_NAMES[kind], report, f" of {kind} in {slot}")
    disk = _disk(slot, kind, values, report)
    if disk:
        yield disk


def _flat(mapping: Mapping, report: Report) -> Iterator[Disk]:
    entries = mapping["disks"]
    if not isinstance(entries, list):
        report.add(mapping.lines["disks"], f"disks must be a list, not {shown(entries)}")
        return
    for entry in entries:
        if not isinstance(entry, Mapping):
            report.add(
                mapping.lines["disks"], f"each of disks must be a mapping, not {shown(entry)}"
            )
            continue
        check_keys(entry, FLAT_NAMES, report, " in disks")
        slot = take(entry, FLAT_DISK_KEYS[0], report, " in disks")
        kind = _flat_kind(entry, slot, report)
        disk = _disk(slot, kind, entry, report) if slot and kind else None
        if disk:
            yield disk


def _flat_kind(entry: Mapping, slot: str | None, report: Report) -> str | None:
    kind = take(entry, FLAT_DISK_KEYS[1], report, " in disks")
    is_cloudinit = take(entry, FLAT_DISK_KEYS[2], report, " in disks")
    if is_cloudinit and kind not in (None, "cdrom", "cloudinit"):
        line = entry.line_of("cloudinit")
        report.add(line, f"cloudinit of {slot or 'a disk'} needs type: cloudinit")
        return None
    kind = kind and ("cloudinit" if is_cloudinit else str(kind))
    for media, key in VOLUME_KEYS.items():
        if kind and kind != media and entry.get(key.name) is not None:
            line = entry.line_of(key.name)
            but = " and no cloudinit" if is_cloudinit else ""
            report.add(line, f"{key.name} of {slot or 'a disk'} needs type: {media}{but}")
            return None
    return kind


def _disk(slot: str, kind: str, values: Mapping, report: Report) -> Disk | None:
    where = f" of {slot}"
    before = len(report.problems)
    given = (DISK_KEY_OF[name] for name in values if name in DISK_KEY_OF)
    taken = {key.attribute: take(values, key, report, where) for key in given}
    volume_key = VOLUME_KEYS.get(kind)
    if volume_key:
        taken["volume"] = take(values, volume_key, report, where)
    _check_fit(slot, kind, values, report)
    size = taken.pop("size", None)
    size_bytes = size_in_bytes(size) if size and kind == "disk" else None
    if size_bytes == 0:
        report.add(values.line_of("size"), f"size{where} must be more than 0")
    for needed in NEEDED[kind]:
        value = size or taken.get("import_from") if needed == "size" else taken.get(needed)
        if value is None and len(report.problems) == before:
            name = volume_key.name if volume_key else needed
            report.add(values.line, f"{name} is missing{where}")
    if len(report.problems) > before:
        return None
    return SHARED_DISK(slot=slot, media=MEDIA[kind], size_bytes=size_bytes, **taken)


def _check_fit(slot: str, kind: str, values: Mapping, report: Report) -> None:
    """Report options that this media or the slot's bus does not have."""
    bus = slot.rstrip("0123456789")
    for name in values:
        if values[name] is None:
            continue
        if name in FOREIGN.get(kind, ()):
            report.add(values.line_of(name), f"{name} of {slot} is not for {kind}")
        elif bus not in BUSES_OF.get(name, BUSES):
            line = values.line_of(name)
            report.add(line, f"{name} of {slot} is for {', '.join(BUSES_OF[name])} only")
    if kind in ("cdrom", "cloudinit") and bus == "virtio":
        report.add(values.line, f"{slot} is {kind}, which virtio has no drive for: use ide or sata")
    for name, why in contradictions(values):
        report.add(values.line_of(name), f"{name} of {slot} {why}")
