"""A VM that is there as the definition that leaves it as it is: what `stackyard import` writes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stackyard.definitions.availability import HA, POWER_OF
from stackyard.definitions.device_keys import FAMILY_OF, SERIAL_PORTS
from stackyard.definitions.disks import ANY_SLOT
from stackyard.definitions.hardware import Cpu, Device
from stackyard.definitions.keys import FLAT_DISK_KEYS, NIC_KEYS, REQUIRED, UNOBSERVED, VM_KEYS, Key
from stackyard.definitions.model import Disk, Nic
from stackyard.definitions.networks import IP_PARTS, MOST_NICS, count_cards, read_ipconfig
from stackyard.definitions.values import CHECKS, BadValueError
from stackyard.plan.differ import PROXMOX_DEFAULTS
from stackyard.plan.disks import size_text
from stackyard.plan.observed import Config, ObservedVm, is_system_tag
from stackyard.plan.values import Value

_TYPES = {"disk": "disk", "cloudinit": "cloudinit", "iso": "cdrom", "passthrough": "passthrough"}
# The key that says where it is, by media.
_PLACES = {"disk": "storage", "cloudinit": "storage", "iso": "iso", "passthrough": "file"}
_TAKEN_OVER = {"managed": True}  # whatever the site says of its other VMs
_SHAPED = {"disks": ("disks", "nested_disks"), "networks": ("network", "networks")}


@dataclass(frozen=True, slots=True)
class Written:
    """The keys of a definition file in order, and what of the VM it does not say."""

    keys: dict[str, Any]
    notes: tuple[str, ...] = ()


def definition_keys(vm: ObservedVm, inherited: Iterable[str] = ()) -> Written:
    """Return what a definition of this VM says, so that nothing is to be done about it.

    `inherited` are the keys that all definitions of the site get; what the VM does not have of
    them is null, but for those that nothing in Proxmox tells: they hold for this VM too. Options
    that no definition knows stay as they are, and are not written.
    """
    config = vm.config or Config()
    notes: list[str] = []
    keys = _said({key: value for key in VM_KEYS for value in _scalar(key, vm, config)}, "", notes)
    disks, networks = _disks(config, notes), _networks(config, notes)
    keys.update({"disks": disks} if disks else {})
    keys.update({"networks": networks} if networks else {})
    keys.update(_ipconfigs(config, notes))
    notes += _drop_cardless(keys)
    keys.update(_devices(config, notes))
    if vm.ha is not None and vm.template:
        notes.append(f"{HA.name} is for VMs that run, and this template has a resource")
    elif vm.ha is not None:
        keys[HA.name] = _fields(HA.name, vm.ha, HA.keys, notes)
        if vm.ha.state in POWER_OF:  # it is the wanted power
            keys.pop("vm_state", None)
    said = {name for shape, names in _SHAPED.items() if shape in keys for name in names}
    for name in inherited:
        if name not in UNOBSERVED | said:
            keys.setdefault(name, _TAKEN_OVER.get(name))
    notes += ["cipassword is hidden by Proxmox"] if "cipassword" in config.values else []
    return Written(keys, tuple(notes))


def _said(values: Mapping[Key, Any], where: str, notes: list[str]) -> dict[str, Any]:
    """Return what a definition can say, and note why not the rest, which then stays as it is."""
    keys: dict[str, Any] = {}
    for key, value in values.items():
        try:
            CHECKS[key.type](value, key)
        except BadValueError as error:
            notes.append(f"{key.name}{where} {error}")
        else:
            keys[key.name] = value
    return keys


def _scalar(key: Key, vm: ObservedVm, config: Config) -> Iterator[Any]:
    """Yield the value of a key, or nothing where it is not to be written."""
    found: Value = config.values.get(key.name)
    cpu = config.values.get("cpu_type", PROXMOX_DEFAULTS["cpu_type"])
    known: dict[str, Any] = {
        "name": vm.name,
        "target_node": vm.node,
        "vmid": vm.vmid,
        "template": vm.template or None,
        "vm_state": None if vm.template else vm.status,
        "tags": [tag for tag in vm.tags if not is_system_tag(tag)] or None,
        "serial": None,  # under its own key, serial0
        "cipassword": None,
        "cpu_type": cpu.type if isinstance(cpu, Cpu) else None,
        "cpu_flags": list(cpu.flags) if isinstance(cpu, Cpu) and cpu.flags else None,
    }
    value = known[key.name] if key.name in known else _plain(found)
    if isinstance(value, str) and key.lines:
        value = "\n".join(value.splitlines())  # a carriage return means nothing to Proxmox
    if value is None and key.default is not None and key.name in PROXMOX_DEFAULTS:
        value = _plain(PROXMOX_DEFAULTS[key.name])
    if value is not None:
        yield value


def _plain(value: Value) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, bool | int | float | str) else None


def _devices(config: Config, notes: list[str]) -> dict[str, Any]:
    """Return the serial ports and the devices by their keys, in the order of the table."""
    found: dict[str, Any] = {n: config.values[n] for n in SERIAL_PORTS if n in config.values}
    for name, family in FAMILY_OF.items():
        device = config.values.get(name)
        keys = _fields(name, device, family.keys, notes) if isinstance(device, Device) else {}
        needed = {key.name for key in family.keys if key.default is REQUIRED}
        is_one = not family.one_of or any(key in keys for key in family.one_of)
        if keys and needed <= keys.keys() and is_one:
            found[name] = keys
    return found


def _disks(config: Config, notes: list[str]) -> list[dict[str, Any]]:
    disks = []
    for slot, disk in sorted(config.disks().items(), key=lambda pair: _order(pair[0])):
        if disk.media == "disk" and not disk.size_bytes:
            notes.append(f"{slot} has no size that Proxmox tells")
        elif ANY_SLOT.fullmatch(slot):
            keys = _disk(disk, notes)
            disks += [keys] if _PLACES[disk.media] in keys else []
    return disks


def _order(slot: str) -> tuple[str, int]:
    bus = slot.rstrip("0123456789")
    return bus, int(slot[len(bus) :] or 0)


def _disk(disk: Disk, notes: list[str]) -> dict[str, Any]:
    known: dict[str, Any] = {"type": _TYPES[disk.media]}
    if disk.media == "disk":
        known["size"] = size_text(disk.size_bytes or 0)
    elif disk.media != "cloudinit":
        known[_PLACES[disk.media]] = disk.volume
    values = {key: known.get(key.name, _value(disk, key)) for key in FLAT_DISK_KEYS}
    given = {key: value for key, value in values.items() if value is not None}
    return _said(given, f" of {disk.slot}", notes)


def _networks(config: Config, notes: list[str]) -> list[dict[str, Any]]:
    """Return the interfaces, unless a definition cannot say them: it counts them from net0 on."""
    nics = config.networks()
    wanted = [f"net{number}" for number in range(len(nics))]
    if sorted(nics) != sorted(wanted) or not all(nic.bridge for nic in nics.values()):
        notes.append(f"{', '.join(sorted(nics))} are not numbered from 0, or have no bridge")
        return []
    return [_fields(name, nics[name], NIC_KEYS, notes) for name in wanted]


def _fields(
    name: str, device: Nic | Device, keys: Iterable[Key], notes: list[str]
) -> dict[str, Any]:
    found = {key: value for key in keys if (value := _value(device, key)) is not None}
    return _said(found, f" of {name}", notes)


def _value(device: Disk | Nic | Device, key: Key) -> Any:
    return getattr(device, key.attribute, None)


def _drop_cardless(keys: dict[str, Any]) -> tuple[str, ...]:
    """Take out addresses of cards that the VM does not have, and say so: they mean nothing."""
    cards = count_cards(keys) or MOST_NICS
    names = [f"ipconfig{number}" for number in range(cards, MOST_NICS)]
    return tuple(f"{name} has no card" for name in names if keys.pop(name, None) is not None)


def _ipconfigs(config: Config, notes: list[str]) -> dict[str, str]:
    """Return the addresses that a definition can say; Proxmox takes any gateway, even with DHCP."""
    keys: dict[str, str] = {}
    for name, value in config.ipconfigs().items():
        parts = ((part, getattr(value, part)) for part in IP_PARTS)
        text = ",".join(f"{part}={address}" for part, address in parts if address)
        try:
            read_ipconfig(text)
        except BadValueError as error:
            notes.append(f"{name} {error}")
        else:
            keys[name] = text
    return keys
