"""A definition as keys and values, beside `Config.values` of what is there."""

from dataclasses import fields, replace
from typing import Any

from stackyard.definitions.hardware import Cpu, Device, EfiDisk, TpmState, Usb, Virtiofs
from stackyard.definitions.keys import OPTION_KEYS
from stackyard.definitions.model import Definition, Disk, Nic, Reference
from stackyard.plan.errors import PlanError
from stackyard.plan.observed import TAG, is_system_tag
from stackyard.plan.values import Value

_LISTS = frozenset({"nameserver", "searchdomain"})
_HIDDEN = frozenset({"cipassword"})  # Proxmox tells only that there is one
_SHAPED = frozenset({"cpu_type", "cpu_flags", "tags"})  # more than the field's own value
_FIELDS = {key.name: key.attribute for key in OPTION_KEYS if key.name not in _SHAPED}
_MOST_CPU_UNITS = 10000  # of a control group of version 2: Proxmox keeps no more
_CERTIFICATES = ("2011", "2023", "2023w", "2023k")  # by age; a new disk has the latest
_OPTIONAL_OF_NIC = ("mac", "trunks", "rate", "queues", "link_down")


# What Proxmox takes where a property of a device is absent, by its API schema.
_PROPERTY_DEFAULTS: dict[type[Any], dict[str, Any]] = {
    EfiDisk: {"efitype": "2m", "pre_enrolled_keys": False, "ms_cert": "2011"},
    TpmState: {"version": "v1.2"},
    Usb: {"usb3": False},
    Virtiofs: {
        "cache": "auto", "direct_io": False, "expose_acl": False, "expose_xattr": False,
    },
    Disk: {"replicate": True},
}  # fmt: skip


def desired_values(definition: Definition) -> dict[str, Value]:
    """Return every key the definition has an opinion on; what it leaves alone is absent.

    Disks, networks, addresses and devices are under their own keys (`scsi0`, `net0`, `ipconfig0`,
    `vga`). `serial: false` is no opinion: a console that a template brings stays.

    Raises:
        PlanError: a reference to what Proxmox shows was not resolved.
    """
    if isinstance(definition.sshkeys, Reference):
        raise PlanError(
            f"{definition.source.at('sshkeys')}: sshkeys of {definition.name} refer to the "
            f"variable {definition.sshkeys.env}, which was not resolved"
        )
    values: dict[str, Value] = {name: getattr(definition, of) for name, of in _FIELDS.items()}
    values["cpu_type"] = Cpu(definition.cpu_type, definition.cpu_flags)
    values["tags"] = tuple(sorted({*definition.tags, TAG}))
    serials = definition.serials or (("socket",) if definition.serial else ())
    values.update({f"serial{number}": port for number, port in enumerate(serials)})
    values.update(definition.devices)
    values.update({disk.slot: disk for disk in definition.disks})
    values.update({f"net{number}": nic for number, nic in enumerate(definition.networks)})
    values.update({f"ipconfig{number}": ip for number, ip in enumerate(definition.ipconfigs)})
    return {key: value for key, value in values.items() if value is not None}


def is_empty(value: Value) -> bool:
    """Tell whether a value is a text that says nothing: Proxmox keeps none of such."""
    return isinstance(value, str) and not value.strip()


def over(wanted: Value, found: Value) -> Value:
    """Return the wanted value, with what it has no opinion on taken from what is there."""
    names: tuple[str, ...] = ()
    if isinstance(wanted, Nic) and isinstance(found, Nic):
        names = _OPTIONAL_OF_NIC
    elif isinstance(wanted, Device) and type(wanted) is type(found):
        # A device has one place, by address or by mapping: the wanted one replaces the other.
        names = tuple(f.name for f in fields(wanted) if f.name not in ("host", "mapping"))
    left: dict[str, Any] = {
        name: getattr(found, name) for name in names if getattr(wanted, name) is None
    }
    if isinstance(wanted, EfiDisk) and isinstance(found, EfiDisk):
        if found.format is None:
            left["format"] = None  # block storages have none to tell
        if _rank(found.ms_cert) >= _rank(wanted.ms_cert):
            left["ms_cert"] = found.ms_cert
    if type(wanted) is type(found):
        left |= unsaid_defaults(wanted, found)
    changed: Any = wanted
    return replace(changed, **left) if left else wanted


def _rank(certificate: str | None) -> int:
    """Return the place of a certificate, last where it is unknown; a later one adds to those."""
    name = certificate or _CERTIFICATES[0]
    return _CERTIFICATES.index(name) if name in _CERTIFICATES else len(_CERTIFICATES)


def unsaid_defaults(wanted: Value, found: Value) -> dict[str, None]:
    """Return the properties that are wanted as they are where nothing is said, as there."""
    usual = _PROPERTY_DEFAULTS.get(type(wanted), {})
    return {
        name: None
        for name, default in usual.items()
        if getattr(found, name) is None and getattr(wanted, name) == default
    }


def same(key: str, wanted: Value, found: Value) -> bool:
    """Tell whether two values of a key mean the same to Proxmox."""
    if key in _HIDDEN:
        return (wanted is None) == (found is None)
    return _canonical(key, wanted) == _canonical(key, found)


def _canonical(key: str, value: Value) -> Value:
    if isinstance(value, str):
        return _canonical_text(key, value)
    if isinstance(value, Cpu):
        return replace(value, flags=tuple(sorted(value.flags or ())))
    if isinstance(value, int) and key == "cpuunits":
        return min(value, _MOST_CPU_UNITS)
    if isinstance(value, tuple) and key == "hotplug":
        return tuple(sorted(set(value)))
    if isinstance(value, tuple) and key == "tags":
        # A cluster may keep the case of tags, which definitions do not tell.
        told = (tag for tag in value if tag == TAG or not is_system_tag(tag))
        return tuple(sorted({tag.lower() for tag in told}))
    return value


def _canonical_text(key: str, text: str) -> Value:
    if key in _LISTS:
        return tuple(text.replace(",", " ").replace(";", " ").split())
    if key == "description":
        return "\n".join(line.rstrip() for line in text.strip().splitlines()) or None
    if key == "sshkeys":  # without what surrounds them, as they are read from a definition
        return "\n".join(line.strip() for line in text.splitlines() if line.strip()) or None
    return text
