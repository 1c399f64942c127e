"""A definition as the plain data that a host variable holds.

Ansible works on each value of each host many times over, and most on those inside others: ten
thousand hosts with every default and every device as a mapping take it more than ten seconds. So
what nobody gives is absent, and a device is one text under its slot, of the model's fields, written
as `ipconfig0` is in a definition.
"""

from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from typing import Any

from stackyard.definitions.model import Definition, Reference, VaultReference

# What stands under slots, `serial` too; where it was read; keys; and what stands beside it anyway.
DEVICES = {"disks", "networks", "ipconfigs", "serials", "serial", "devices", "ha"}
LEFT_OUT = DEVICES | {"source", "sshkeys", "variables", "groups"}


def describe(vm: Definition) -> dict[str, Any]:
    """Return what a definition and the defaults give, by the model's names, and its devices."""
    given = vm.source.given
    described = {
        name: _plain(value)
        for name, default in _defaults(Definition)
        if ((value := getattr(vm, name)) != default or name in given) and name not in LEFT_OUT
    }
    return described | {slot: _text(device) for slot, device in _devices(vm)}


def _plain(value: Any) -> Any:
    if isinstance(value, Reference):
        return {"env": value.env}
    if isinstance(value, VaultReference):
        return {"vault": value.vault}
    return list(value) if isinstance(value, tuple) else value


def _devices(vm: Definition) -> Iterator[tuple[str, Any]]:
    yield from ((disk.slot, disk) for disk in vm.disks)
    yield from ((f"net{number}", card) for number, card in enumerate(vm.networks))
    numbered = (("ipconfig", vm.ipconfigs), ("serial", vm.serials))
    for name, found in numbered:
        yield from ((f"{name}{number}", one) for number, one in enumerate(found) if one)
    yield from vm.devices.items()
    if vm.ha:
        yield "ha", vm.ha


def _text(device: Any) -> str:
    if isinstance(device, str):
        return device
    kind: Any = type(device)
    return ",".join(
        f"{name}={int(value) if isinstance(value, bool) else value}"
        for name, default in _defaults(kind)
        if (value := getattr(device, name)) != default and name != "slot"
    )


@cache
def _defaults(kind: Any) -> tuple[tuple[str, Any], ...]:
    """Return the fields of a kind with their defaults; what must be given has none."""
    return tuple((field.name, field.default) for field in fields(kind))
