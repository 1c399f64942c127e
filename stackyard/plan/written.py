"""A VM that is there as the definition that leaves it as it is: what `stackyard import` writes."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from stackyard.definitions.availability import HA, POWER_OF
from stackyard.definitions.device_keys import FAMILY_OF, SERIAL_PORTS
from stackyard.definitions.hardware import Cpu, Device
from stackyard.definitions.keys import FLAT_DISK_KEYS, NIC_KEYS, UNOBSERVED, VM_KEYS, Key
from stackyard.definitions.model import Disk, IpConfig, Nic
from stackyard.definitions.networks import MOST_NICS, count_cards
from stackyard.definitions.values import CHECKS, BadValueError
from stackyard.plan.differ import PROXMOX_DEFAULTS
from stackyard.plan.disks import size_text
from stackyard.plan.observed import Config, ObservedVm, is_system_tag
from stackyard.plan.values import Value

_TYPES = {"disk": "disk", "cloudinit": "cloudinit", "iso": "cdrom", "passthrough": "passthrough"}
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
    found = {key: value for key in VM_KEYS for value in _scalar(key, vm, config)}
    unsaid = [note for key, value in found.items() for note in _unsaid(key, value)]
    keys = {key.name: value for key, value in found.items() if not list(_unsaid(key, value))}
    disks, disk_notes = _disks(config)
    networks, network_notes = _networks(config)
    keys.update({"disks": disks} if disks else {})
    keys.update({"networks": networks} if networks else {})
    keys.update({name: _ipconfig(value) for name, value in config.ipconfigs().items()})
    cardless = _drop_cardless(keys)
    keys.update(_devices(config))
    if vm.ha is not None:
        keys[HA.name] = _fields(vm.ha, HA.keys)
        if vm.ha.state in POWER_OF:  # it is the wanted power
            keys.pop("vm_state", None)
    said = {name for shape, names in _SHAPED.items() if shape in keys for name in names}
    for name in inherited:
        if name not in UNOBSERVED | said:
            keys.setdefault(name, _TAKEN_OVER.get(name))
    hidden = ["cipassword is hidden by Proxmox"] if "cipassword" in config.values else []
    return Written(keys, (*unsaid, *disk_notes, *network_notes, *cardless, *hidden))


def _unsaid(key: Key, value: Any) -> Iterator[str]:
    """Say why a definition cannot have this value, which then stays as it is."""
    try:
        CHECKS[key.type](value, key)
    except BadValueError as error:
        yield f"{key.name} {error}"


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


def _devices(config: Config) -> dict[str, Any]:
    """Return the serial ports and the devices by their keys, in the order of the table."""
    ports = {name: config.values[name] for name in SERIAL_PORTS if name in config.values}
    devices = {
        name: _fields(device, family.keys)
        for name, family in FAMILY_OF.items()
        if isinstance(device := config.values.get(name), Device)
    }
    return {**ports, **devices}


def _disks(config: Config) -> tuple[list[dict[str, Any]], list[str]]:
    disks, notes = [], []
    for slot, disk in sorted(config.disks().items(), key=lambda pair: _order(pair[0])):
        if disk.media == "disk" and not disk.size_bytes:
            notes.append(f"{slot} has no size that Proxmox tells")
        elif re.fullmatch(r"(scsi|virtio|sata|ide)\d+", slot):
            disks.append(_disk(disk))
    return disks, notes


def _order(slot: str) -> tuple[str, int]:
    bus = slot.rstrip("0123456789")
    return bus, int(slot[len(bus) :] or 0)


def _disk(disk: Disk) -> dict[str, Any]:
    keys: dict[str, Any] = {"slot": disk.slot, "type": _TYPES[disk.media]}
    if disk.media == "iso":
        return {**keys, "iso": disk.volume}
    if disk.media == "passthrough":
        keys["file"] = disk.volume
    if disk.media == "disk":
        keys["size"] = size_text(disk.size_bytes or 0)
    own = (key for key in FLAT_DISK_KEYS if key.name not in {*keys, "size", "cloudinit", "iso"})
    return {**keys, **_fields(disk, own)}


def _networks(config: Config) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the interfaces, unless a definition cannot say them: it counts them from net0 on."""
    nics = config.networks()
    wanted = [f"net{number}" for number in range(len(nics))]
    if sorted(nics) != sorted(wanted) or not all(nic.bridge for nic in nics.values()):
        return [], [f"{', '.join(sorted(nics))} are not numbered from 0, or have no bridge"]
    return [_fields(nics[name], NIC_KEYS) for name in wanted], []


def _fields(device: Disk | Nic | Device, keys: Iterable[Key]) -> dict[str, Any]:
    found = {key.name: getattr(device, key.attribute, None) for key in keys}
    return {name: value for name, value in found.items() if value is not None}


def _drop_cardless(keys: dict[str, Any]) -> tuple[str, ...]:
    """Take out addresses of cards that the VM does not have, and say so: they mean nothing."""
    cards = count_cards(keys) or MOST_NICS
    names = [f"ipconfig{number}" for number in range(cards, MOST_NICS)]
    return tuple(f"{name} has no card" for name in names if keys.pop(name, None) is not None)


def _ipconfig(value: IpConfig) -> str:
    parts = (("ip", value.ip), ("gw", value.gw), ("ip6", value.ip6), ("gw6", value.gw6))
    return ",".join(f"{name}={text}" for name, text in parts if text)
