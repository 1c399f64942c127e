"""Disks of VMs: what a drive option may say, making its volume, detaching it."""

import math
import re
from dataclasses import dataclass

from stackyard.lab.api.faults import ApiError, invalid
from stackyard.lab.api.options import drive_table
from stackyard.lab.api.vm import (
    GIB,
    Properties,
    Vm,
    format_size,
    is_cdrom,
    is_cloudinit,
    parse_drive,
    print_drive,
)
from stackyard.lab.api.volumes import Volume, Volumes

_NEW_DISK = re.compile(r"(?P<storage>[^/:\s]+):(?P<size>\d+(\.\d+)?)")
_NEW_CLOUDINIT = re.compile(r"(?P<storage>[^/:\s]+):cloudinit")
_NAMES = {
    "dir": ("directory", r"\d+/[^/\s]+|\d+/base-[^/\s]+/\d+/[^/\s]+|[a-z]+/[^/\s]+"),
    "lvmthin": ("lvm", r"(vm|base)-\d+-\S+"),
}
_OWN_SIZE = {"efidisk0": 4 * 1024**2, "tpmstate0": 4 * 1024**2}  # whatever is asked for
_ONE_WAY = ("_rd", "_wr")
_NEEDED = {
    **{f"mbps{way}_max": f"mbps{way}" for way in ("", *_ONE_WAY)},
    **{f"bps{way}_max_length": f"mbps{way}_max" for way in ("", *_ONE_WAY)},
    **{f"iops{way}_max_length": f"iops{way}_max" for way in ("", *_ONE_WAY)},
}
_LIMITS = {*_NEEDED, *_NEEDED.values(), *(f"iops{way}" for way in ("", *_ONE_WAY))}
_THIN = "/usr/share/perl5/PVE/Storage/LvmThinPlugin.pm line 87."
_ROOT_ONLY = (
    "Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 651."
)


@dataclass(frozen=True, slots=True)
class Place:
    """Whose drive it is, and who asks for it."""

    node: str
    vmid: int
    root: bool = False


def check_drive(volumes: Volumes, place: Place, slot: str, text: str) -> None:
    """Refuse at once what the server refuses before it makes a volume."""
    drive = parse_drive(slot, text)
    if _is_contradiction(slot, drive):
        raise invalid(**{slot: "unable to parse drive options"})
    file = drive["file"]
    if not place.root and (drive.get("import-from", "").startswith("/") or file.startswith("/")):
        raise ApiError(_ROOT_ONLY)
    if file in ("none", "cdrom") or file.startswith("/"):
        return
    new = _NEW_DISK.fullmatch(file) or _NEW_CLOUDINIT.fullmatch(file)
    if new:
        volumes.for_images(new["storage"], place.node)
        return
    name, _, rest = file.partition(":")
    what, pattern = _NAMES[volumes.storage(name, place.node).type]
    if not re.fullmatch(pattern, rest):
        raise ApiError(f"unable to parse {what} volume name '{rest}'")


def _is_contradiction(slot: str, drive: Properties) -> bool:
    """Tell whether the server takes a drive's options for none, though each of them is good."""
    limits = {key for key, value in drive.items() if key in _LIMITS and float(value)}
    both = any({unit, f"{unit}{way}"} <= limits for unit in ("mbps", "iops") for way in _ONE_WAY)
    is_alone = any(key in limits and needed not in limits for key, needed in _NEEDED.items())
    return both or is_alone or (slot.startswith("virtio") and is_cdrom(drive))


def make_drive(volumes: Volumes, place: Place, vm: Vm, slot: str, text: str) -> str:
    """Make what a drive option asks for; return the option as the configuration keeps it.

    Raises:
        ApiError: there is no such volume or image, it is too big, or a second cloud-init drive.
    """
    drive = parse_drive(slot, text)
    file = drive["file"]
    if file in ("none", "cdrom") or file.startswith("/"):
        return print_drive(drive)
    cloudinit = _NEW_CLOUDINIT.fullmatch(file)
    if cloudinit:
        taken = vm.cloudinit_slot()
        if taken and taken != slot:
            raise ApiError(f"cloud-init drive is already attached at '{taken}'")
        storage = volumes.for_images(cloudinit["storage"], place.node)
        volume = volumes.allocate_cloudinit(place.node, storage, place.vmid)
        return print_drive({"file": volume.volid, "media": "cdrom"})
    new = _NEW_DISK.fullmatch(file)
    if new:
        volume = _new_volume(volumes, place, slot, drive, new)
    else:
        volume = _existing(volumes, place.node, file)
    kept = {k: v for k, v in drive.items() if k not in ("format", "import-from")}
    if new and kept.get("pre-enrolled-keys") == "1" and kept.get("efitype") == "4m":
        kept["ms-cert"] = "2023k"  # what the variables have that the new disk begins with
    return print_drive(kept | {"file": volume.volid, "size": format_size(volume.size)})


def _new_volume(
    volumes: Volumes, place: Place, slot: str, drive: Properties, new: re.Match[str]
) -> Volume:
    storage = volumes.for_images(new["storage"], place.node)
    size = math.ceil(float(new["size"]) * GIB / 1024) * 1024  # asked for in GiB, made by the KiB
    if "import-from" in drive:
        size = _import_source(volumes, place.node, drive["import-from"]).size
    elif storage.type == "lvmthin" and drive.get("format", "raw") != "raw":
        # Of what is copied (a clone, an import, a move) such a format is passed over.
        raise ApiError(f"unsupported format '{drive['format']}' at {_THIN}")
    elif slot in _OWN_SIZE:
        size = _OWN_SIZE[slot]
    return volumes.allocate(place.node, storage, place.vmid, size, drive.get("format"))


def _import_source(volumes: Volumes, node: str, source: str) -> Volume:
    found = volumes.get(node, source)
    if found:
        return found
    if source.startswith("/"):
        raise ApiError(f"failed to stat '{source}'")
    storage = volumes.storage(source.partition(":")[0], node)
    missing = Volume(source, 0, "", content=source.partition(":")[2].partition("/")[0])
    path = volumes.path(missing) if storage.type == "dir" else source
    raise ApiError(f"failed to stat '{path}'")


def _existing(volumes: Volumes, node: str, volid: str) -> Volume:
    found = volumes.get(node, volid)
    if found is None:
        raise ApiError(f"volume '{volid}' does not exist")
    return found


def disk_volume(vm: Vm, volumes: Volumes, slot: str, verb: str) -> Volume:
    """Return the volume of a disk that somebody wants to `resize` or to `move`.

    Raises:
        ApiError: there is no disk in the slot, or its volume is gone.
    """
    if slot not in vm.config:
        raise ApiError(f"disk '{slot}' does not exist")
    drive = parse_drive(slot, vm.config[slot])
    if is_cdrom(drive):
        raise ApiError(f"you can't {verb} a cdrom")
    return _existing(volumes, vm.node, drive["file"])


def detach(vm: Vm, volumes: Volumes, slot: str) -> None:
    """Take a drive out: a disk becomes unusedN, a cloud-init drive's volume goes."""
    drive = parse_drive(slot, vm.config.pop(slot))
    if is_cloudinit(drive) or slot.startswith("unused"):
        volumes.remove(vm.node, drive["file"])
    elif not is_cdrom(drive) and not drive["file"].startswith("/"):
        number = 0
        while f"unused{number}" in vm.config:
            number += 1
        vm.config[f"unused{number}"] = drive["file"]


def put_drive(vm: Vm, volumes: Volumes, slot: str, text: str) -> None:
    """Put a drive, already made, into a slot; another disk that was there becomes unusedN."""
    file = parse_drive(slot, text)["file"]
    before = vm.config.get(slot)
    if before and parse_drive(slot, before)["file"] != file:
        detach(vm, volumes, slot)
    for name, drive in list(vm.unused()):
        if drive["file"] == file:
            del vm.config[name]
    vm.config[slot] = text


def apply_pending(vm: Vm, volumes: Volumes) -> None:
    """Let pending changes hold: when the VM has stopped, and when it starts."""
    if not vm.pending and not vm.pending_delete:
        return
    for name, is_forced in vm.pending_delete.items():
        if name in vm.config:
            (erase_option if is_forced else remove_option)(vm, volumes, name)
    for name, value in vm.pending.items():
        set_option(vm, volumes, name, value)
    vm.pending, vm.pending_delete = {}, {}
    vm.changed()


def remove_option(vm: Vm, volumes: Volumes, name: str) -> None:
    """Take an option out of the configuration, with what hangs on it."""
    if drive_table(name):
        detach(vm, volumes, name)
    else:
        vm.config.pop(name, None)


def erase_option(vm: Vm, volumes: Volumes, name: str) -> None:
    """Take an option out, and delete the disk that would be kept as unusedN."""
    kept = {slot for slot, _ in vm.unused()}
    remove_option(vm, volumes, name)
    for slot in {slot for slot, _ in vm.unused()} - kept:
        remove_option(vm, volumes, slot)


def set_option(vm: Vm, volumes: Volumes, name: str, value: str) -> None:
    """Put an option into the configuration; the volume of a drive is there already."""
    if drive_table(name) and not name.startswith("unused"):
        put_drive(vm, volumes, name, value)
    else:
        vm.config[name] = value
