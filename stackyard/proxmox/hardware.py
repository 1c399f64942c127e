"""Devices as Proxmox writes them, both ways, by the table that definitions are checked with."""

from typing import Any

from stackyard.definitions.device_keys import FAMILIES, FAMILY_OF
from stackyard.definitions.hardware import Cpu, Device, EfiDisk, Startup, TpmState
from stackyard.definitions.keys import Key
from stackyard.proxmox import properties
from stackyard.proxmox.devices import Decoded, format_of
from stackyard.proxmox.properties import Fields

_CPU = Fields((Key("flags", "list", ""),))
_FIELDS = {family.name: Fields(family.keys) for family in FAMILIES}
# Proxmox gives these volumes the size they need, whatever is asked for.
_NEW_SIZE = "1"


def encode_device(key: str, device: Device, keep: str) -> str:
    """Write a device; its volume, where it has one, is asked for if it is not there yet."""
    if isinstance(device, Cpu):
        flags = _CPU.write(device) if device.flags else {}  # Proxmox refuses an empty list of them
        return properties.render(device.type, flags, keep)
    family = FAMILY_OF[key]
    options = _FIELDS[family.name].write(device)
    # Proxmox itself names the order, and shows all that it is given as it is.
    first = "" if isinstance(device, Startup) else options.pop(family.first, None) or ""
    if isinstance(device, EfiDisk | TpmState):
        first = device.volume or f"{options['storage']}:{_NEW_SIZE}"
        options.pop("storage")
        if device.volume:
            options.pop("format", None)
    return properties.render(first, options, keep)


def decode_cpu(_key: str, text: str) -> Decoded:
    """Read the CPU's type and flags."""
    options = properties.parse(text, "cputype")
    cpu = Cpu(options.pop("cputype", ""), **_CPU.take(options))
    return cpu, properties.render("", dict(options))


def decode_device(key: str, text: str) -> Decoded:
    """Read any other device."""
    family = FAMILY_OF[key]
    has_volume = family.model in (EfiDisk, TpmState)
    options = properties.parse(text, "file" if has_volume else family.first)
    volume = _take_volume(options) if has_volume else {}
    taken = _FIELDS[family.name].take(options)
    if family.model is EfiDisk and "format" not in taken:
        taken["format"] = format_of(str(volume["volume"]))
    device = family.model(**{**taken, **volume})
    return device, properties.render("", dict(options))


def _take_volume(options: dict[str, str]) -> dict[str, Any]:
    volume = options.pop("file", "")
    options.pop("size", None)
    storage, _, rest = volume.partition(":")
    return {"storage": storage, "volume": None if rest == _NEW_SIZE else volume}
