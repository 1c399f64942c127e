"""How a template is cloned for a definition, and what the clone will be like."""

from dataclasses import replace

from stackyard.definitions.hardware import EfiDisk, TpmState
from stackyard.definitions.model import Definition, Disk
from stackyard.plan.observed import UNUSED, Config, ObservedVm, marker
from stackyard.plan.values import Clone


def clone_of(template: ObservedVm, definition: Definition) -> Clone:
    """Choose the copy.

    A full one puts all disks on the storage of the first that both sides have, in the format that
    any of those there is wanted in.
    """
    name = template.name or str(template.vmid)
    if not definition.full_clone:
        return Clone(name, template.vmid, full=False, pool=definition.pool)
    there = (template.config or Config()).disks()
    copied = [d for d in definition.disks if d.media == "disk" and d.slot in there]
    storage = next((disk.storage for disk in copied), None)
    form = next((d.format for d in copied if d.format and d.storage == storage), None)
    return Clone(name, template.vmid, True, storage, form, definition.pool)


def after_clone(template: Config, clone: Clone, name: str) -> Config:
    """Predict the clone: Proxmox keeps everything but names, MAC addresses and storages.

    Unused disks are not copied.
    """
    values = {key: v for key, v in template.values.items() if not key.startswith(UNUSED)}
    for slot, disk in template.disks().items():
        if disk.media in ("disk", "cloudinit"):
            storage = clone.storage or disk.storage
            values[slot] = replace(disk, storage=storage, format=_form(disk, clone), volume=None)
    for key, value in template.values.items():
        if isinstance(value, EfiDisk | TpmState):
            copy = replace(value, storage=clone.storage or value.storage)
            if isinstance(copy, EfiDisk):
                copy = replace(copy, format=_form(copy, clone))
            values[key] = replace(copy, volume=None)
    for key, nic in template.networks().items():
        values[key] = replace(nic, mac=None)
    values["name"] = name
    values["pool"] = clone.pool  # a clone is in the pool it is asked for, not in its template's
    values["description"] = marker(name)
    return Config(values=values, keep=template.keep)


def _form(disk: Disk | EfiDisk, clone: Clone) -> str | None:
    """Return the format of a copy: all of a full one's have the one that it is asked for in."""
    if not clone.full and _is_file(disk):
        return "qcow2"  # the others cannot stand on another image
    return clone.format or disk.format


def _is_file(disk: Disk | EfiDisk) -> bool:
    """Tell whether a disk is an image in a file, which shows in the name of its volume.

    A cloud-init drive, which even a linked clone copies, is none.
    """
    is_drive = isinstance(disk, Disk) and disk.media == "cloudinit"
    return not is_drive and bool(disk.format) and f".{disk.format}" in str(disk.volume)
