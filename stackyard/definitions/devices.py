"""Disks, network cards and addresses of a definition: the keys that hold more than one value."""

import ipaddress
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from stackyard.definitions.document import Mapping
from stackyard.definitions.keys import (
    BUSES_OF,
    DISK_KEYS,
    DISK_OPTION_KEYS,
    FILE_KEY,
    FLAT_DISK_KEYS,
    ISO_KEY,
    NIC_KEYS,
    SLOT,
)
from stackyard.definitions.model import Disk, DiskMedia, IpConfig, Nic
from stackyard.definitions.values import BadValueError, Report, check_keys, shown, take

UNITS = {"": 1024**3, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
BUSES = ("scsi", "virtio", "sata", "ide")
MEDIA_KEYS = ("disk", "cloudinit", "passthrough", "cdrom")
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
# Ten thousand VMs have few different disks, and to make one takes long. What never changes can be
# shared; `typed`, since 1 and 1.0 are equal and yet not written alike.
SHARED_DISK = lru_cache(maxsize=4096, typed=True)(Disk)
GATEWAY = lru_cache(maxsize=4096)(ipaddress.IPv4Address)  # that of one VM is that of many
MOST_NICS = 32
SHORTEST_PREFIX = 8  # Proxmox takes no larger network
IP_PARTS = ("ip", "gw", "ip6", "gw6")


def size_in_bytes(text: str) -> int:
    """Return a size as 50G (K, M, G, T; G where there is no unit) in bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text)
    if not match:
        raise ValueError(text)
    return int(float(match[1]) * UNITS[match[2]])


def slot_order(slot: str) -> tuple[int, int]:
    """Return a key that sorts slots by bus and number."""
    bus = slot.rstrip("0123456789")
    return BUSES.index(bus), int(slot[len(bus) :])


def read_disks(mapping: Mapping, report: Report) -> tuple[Disk, ...]:
    """Return the disks of both forms; forms that describe different disks are a mistake."""
    nested = list(_nested(mapping, report)) if mapping.get("nested_disks") is not None else None
    flat = list(_flat(mapping, report)) if mapping.get("disks") is not None else None
    for disks, key in ((nested, "nested_disks"), (flat, "disks")):
        _once(disks or [], mapping.lines.get(key, mapping.line), report)
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
            line = buses[bus].lines.get(slot, buses[bus].line)
            if not re.fullmatch(SLOT, slot) or not slot.startswith(bus):
                report.add(line, f"{slot} is not a slot of {bus}")
            elif content is not None:
                yield from _nested_slot(slot, content, line, report)


def _nested_slot(slot: str, content: Any, line: int, report: Report) -> Iterator[Disk]:
    if not isinstance(content, Mapping) or len(content) != 1:
        report.add(line, f"{slot} must hold exactly one of {', '.join(MEDIA_KEYS)}")
        return
    ((kind, values),) = content.items()
    check_keys(content, MEDIA_KEYS, report, f" in {slot}")
    if kind not in MEDIA_KEYS:
        return
    if not isinstance(values, Mapping):
        report.add(content.lines.get(kind, line), f"{kind} of {slot} must be a mapping")
        return
    extra = {"passthrough": (FILE_KEY,), "cdrom": (ISO_KEY,)}.get(kind, ())
    known = {key.name: key for key in (*DISK_KEYS, *extra)}
    check_keys(values, known, report, f" of {kind} in {slot}")
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
    for media, key in VOLUME_KEYS.items():
        if kind and kind != media and entry.get(key.name) is not None:
            line = entry.lines.get(key.name, entry.line)
            report.add(line, f"{key.name} of {slot or 'a disk'} needs type: {media}")
            return None
    if kind == "cdrom" and take(entry, FLAT_DISK_KEYS[2], report, " in disks"):
        return "cloudinit"
    return str(kind) if kind else None


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
        report.add(values.lines.get("size", values.line), f"size{where} must be more than 0")
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
            report.add(values.lines.get(name, values.line), f"{name} of {slot} is not for {kind}")
        elif bus not in BUSES_OF.get(name, BUSES):
            line = values.lines.get(name, values.line)
            report.add(line, f"{name} of {slot} is for {', '.join(BUSES_OF[name])} only")


def device_lines(mapping: Mapping) -> dict[str, int]:
    """Return the line of each disk's slot and of each card (`net0`), as far as they can be read."""
    lines: dict[str, int] = {}
    nested = mapping.get("nested_disks")
    for bus in nested.values() if isinstance(nested, Mapping) else ():
        lines |= bus.lines if isinstance(bus, Mapping) else {}
    for entry in _mappings(mapping.get("disks")):
        lines[str(entry.get("slot"))] = entry.line
    cards = _mappings(mapping.get("networks")) or _mappings([mapping.get("network")])
    return lines | {f"net{number}": card.line for number, card in enumerate(cards)}


def _mappings(value: Any) -> list[Mapping]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def read_networks(mapping: Mapping, report: Report) -> tuple[Nic, ...]:
    """Return the cards of `network` (one) or `networks` (a list); both at once is a mistake."""
    one, many = mapping.get("network"), mapping.get("networks")
    if one is not None and many is not None:
        report.add(mapping.lines["networks"], "network and networks are both given: keep one")
    line = mapping.lines.get("network" if many is None else "networks", mapping.line)
    entries = many if many is not None else [one] if one is not None else []
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        report.add(line, "network must be a mapping, and networks a list of such")
        return ()
    if len(entries) > MOST_NICS:
        report.add(line, f"networks has {len(entries)} cards: a VM has at most {MOST_NICS}")
    nics = []
    for entry in entries:
        check_keys(entry, [key.name for key in NIC_KEYS], report, " of a network")
        taken = {key.attribute: take(entry, key, report, " of a network") for key in NIC_KEYS}
        taken["mac"] = taken["mac"] and taken["mac"].upper()
        if taken["bridge"]:
            nics.append(Nic(**taken))
    return tuple(nics)


def count_cards(mapping: dict[str, Any]) -> int:
    """Return how many cards a definition names; with none, those that are there stay."""
    cards = mapping.get("networks") or mapping.get("network")
    return len(cards) if isinstance(cards, list) else int(bool(cards))


def read_ipconfigs(mapping: Mapping, report: Report) -> tuple[IpConfig | None, ...]:
    """Return what ipconfig0 to ipconfig31 say, by number; None in a gap.

    One without its card is a mistake: Proxmox would ignore it, and the inventory would not.
    """
    found: dict[int, IpConfig] = {}
    cards = count_cards(mapping) or MOST_NICS
    given = [name for name in mapping if name.startswith("ipconfig") and mapping[name] is not None]
    for name in given:
        match = re.fullmatch(r"ipconfig(\d+)", name)
        if match:
            line = mapping.lines.get(name, mapping.line)
            number = int(match[1])
            if number >= cards:
                what = f"net{number}, without which Proxmox ignores it"
                report.add(line, f"{name} needs {what}: list all cards in networks")
            try:
                found[number] = _ipconfig(mapping[name])
            except BadValueError as error:
                report.add(line, f"{name} {error}")
    return tuple(found.get(number) for number in range(max(found, default=-1) + 1))


def _ipconfig(value: Any) -> IpConfig:
    if not isinstance(value, str):
        raise BadValueError(
            f"must be a text as ip=192.168.1.20/24,gw=192.168.1.1, not {shown(value)}"
        )
    parts: dict[str, str] = {}
    for part in value.split(","):
        name, equals, text = part.partition("=")
        if not equals or name not in IP_PARTS or name in parts:
            raise BadValueError(f"takes ip=, gw=, ip6= and gw6=, each once, not {shown(part)}")
        parts[name] = text
    _check_address(parts, "ip", "gw", ("dhcp",), ipaddress.IPv4Network)
    _check_address(parts, "ip6", "gw6", ("dhcp", "auto"), ipaddress.IPv6Network)
    return IpConfig(**parts)


def _check_address(
    parts: dict[str, str],
    ip: str,
    gw: str,
    words: tuple[str, ...],
    network_of: type[ipaddress.IPv4Network | ipaddress.IPv6Network],
) -> None:
    address, gateway = parts.get(ip), parts.get(gw)
    if gateway is not None and (address is None or address in words):
        raise BadValueError(f"has {gw}= without an address in {ip}=")
    if address is None or address in words:
        return
    prefix = address.partition("/")[2]
    if not prefix:
        raise BadValueError(f"needs {ip}= with a prefix, as 192.168.1.20/24, not {shown(address)}")
    if not prefix.isdecimal() or int(prefix) < SHORTEST_PREFIX or "%" in address:
        raise BadValueError(
            f"needs {ip}= with a prefix of {SHORTEST_PREFIX} or more, not {shown(address)}"
        )
    try:
        network = network_of(address, strict=False)
        inside = gateway is None or _is_gateway(gateway, network)
    except ValueError:
        raise BadValueError(f"has no address in {ip}= or {gw}=: {shown(address)}") from None
    if not inside:
        raise BadValueError(f"has a gateway, {gateway}, that is not in {network}")


def _is_gateway(gateway: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Tell whether an address can be the gateway; one of IPv6 is often link-local, outside.

    Raises:
        ValueError: it is no address of the network's version.
    """
    if isinstance(network, ipaddress.IPv4Network):
        is_alone = network.prefixlen == network.max_prefixlen  # as some providers have it
        return GATEWAY(gateway) in network or is_alone
    if "%" in gateway:
        raise ValueError(gateway)
    return bool(ipaddress.IPv6Address(gateway))
