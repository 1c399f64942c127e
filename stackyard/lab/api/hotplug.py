"""What reaches a running VM at once, and what waits for its next start.

Recorded are the cases of a usual VM. What the option `hotplug` changes follows qm.conf(5) and the
behaviour of qemu-server when it writes the configuration of a running VM.
"""

import re

from stackyard.lab.api import formats
from stackyard.lab.api.devices import NET, words
from stackyard.lab.api.options import CLOUD_INIT, drive_table, indexed
from stackyard.lab.api.values import split_list
from stackyard.lab.api.vm import Vm, is_cdrom, parse_drive

_FAST = frozenset(
    words(
        "description hookscript lock migrate_downtime migrate_speed name onboot protection shares "
        "startup tags vmstatestorage autostart cpulimit cpuunits template"
    )
)
_USUAL = frozenset(("network", "disk", "usb"))
_PLUGGED_CARD = ("model", "macaddr", "queues", "mtu")
_COLD_DRIVE = words("aio discard iothread queues product cache ssd vendor ro")
_USB_SYSTEMS = ("l26", "win8", "win10", "win11")


def features(vm: Vm) -> frozenset[str]:
    """Return what may be plugged: 1 is the usual, 0 nothing."""
    text = vm.config.get("hotplug", "1")
    named = frozenset(split_list(text))
    return {"1": _USUAL, "0": frozenset[str]()}.get(text, named)


def at_once(vm: Vm, name: str, value: str | None) -> bool:
    """Whether a running VM has a new value, or none any more, without being started anew."""
    family, _ = indexed(name)
    if name in _FAST or name in CLOUD_INIT or f"{family}[n]" in CLOUD_INIT or family == "unused":
        return True
    allowed = features(vm)
    if drive_table(name):
        return _drive(vm, name, value, plug="disk" in allowed)
    if family == "net":
        return "network" in allowed or not _other_card(vm.config.get(name), value)
    old = vm.config.get(name)
    plugged = {
        "usb": "usb" in allowed and vm.config.get("ostype") in _USB_SYSTEMS,
        "tablet": "usb" in allowed,
        "memory": "memory" in allowed and vm.config.get("numa") == "1",
        "balloon": (old == "0") == (value == "0"),
        "hotplug": not re.search("memory|cpu", f"{vm.config.get('hotplug')} {value}"),
    }
    return plugged.get(family, False)


def _drive(vm: Vm, slot: str, value: str | None, *, plug: bool) -> bool:
    old = vm.config.get(slot)
    if old and value:
        before, after = parse_drive(slot, old), parse_drive(slot, value)
        if is_cdrom(before):
            return True
        if before["file"] == after["file"]:
            return all(before.get(key) == after.get(key) for key in _COLD_DRIVE)
    return plug and indexed(slot)[0] in ("scsi", "virtio")


def _other_card(old: str | None, new: str | None) -> bool:
    if old is None or new is None:
        return True
    before, after = formats.split(old, NET), formats.split(new, NET)
    return any(before.get(key) != after.get(key) for key in _PLUGGED_CARD)
