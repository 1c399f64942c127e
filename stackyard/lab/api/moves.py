"""Moves: of a disk to another storage, of a VM to another node.

Moves between nodes were only recorded where they fail, on nodes without ssh between them. What
happens where the platform has `ssh: true`, and to a moved disk, follows the API's schema and the
documentation of qm(1).
"""

import asyncio
from collections.abc import Mapping

from stackyard.lab.api.call import Call
from stackyard.lab.api.drives import detach, disk_volume
from stackyard.lab.api.faults import ApiError, invalid
from stackyard.lab.api.hardware import reserved
from stackyard.lab.api.options import indexed
from stackyard.lab.api.tasks import Task, Worker
from stackyard.lab.api.vm import (
    Properties,
    Vm,
    format_size,
    is_cloudinit,
    parse_drive,
    print_drive,
)
from stackyard.lab.api.volumes import Volume
from stackyard.lab.platform import Storage


async def move_disk(call: Call) -> str:
    """POST …/move_disk: the copy takes the disk's place, which becomes unusedN or is deleted."""
    cluster, slot = call.cluster, call.params["disk"]
    _movable(call, slot)

    async def worker(_task: Task) -> None:
        async with cluster.locked(call.vm()):
            await asyncio.sleep(cluster.platform.latency.move)
            vm, volume = _movable(call, slot)
            storage = cluster.volumes.for_images(call.params["storage"], call.node)
            kind = call.params.get("format", volume.format)
            copy = cluster.volumes.allocate(vm.node, storage, vm.vmid, volume.size, kind)
            drive = parse_drive(slot, vm.config[slot])
            detach(vm, cluster.volumes, slot)
            if call.flag("delete"):
                unused = next(n for n, d in vm.unused() if d["file"] == volume.volid)
                detach(vm, cluster.volumes, unused)
            vm.config[slot] = print_drive(drive | {"file": copy.volid})
            vm.changed()

    return call.start_task("qmmove", worker)


def _movable(call: Call, slot: str) -> tuple[Vm, Volume]:
    """Refuse what cannot be moved; return the VM and the disk's volume."""
    vm, volumes = call.vm(), call.cluster.volumes
    vm.check_digest(call.params.get("digest"))
    vm.check_lock()
    volume = disk_volume(vm, volumes, slot, "move")
    storage = volumes.for_images(call.params["storage"], call.node)
    if storage.name == volume.storage and call.params.get("format") in (None, volume.format):
        raise ApiError("you can't move to the same storage with same format")
    return vm, volume


async def migrate(call: Call) -> str:
    """POST …/migrate: without ssh between the nodes the worker gives up, as recorded."""
    cluster, target = call.cluster, call.params["target"]
    if target == call.node:
        raise invalid(target="target is local node.")
    cluster.check_target(target)
    vm = call.vm()
    vm.check_lock()
    running = cluster.running(vm)
    if running and not call.flag("online"):
        raise ApiError("can't migrate running VM without --online")

    async def worker(task: Task) -> None:
        await asyncio.sleep(cluster.platform.latency.migrate)
        task.log(f"starting migration of VM {vm.vmid} to node '{target}'")
        if not cluster.platform.ssh:
            task.log("ERROR: migration aborted: the nodes of this cluster have no ssh between them")
            raise ApiError("migration aborted")
        if local := _local_devices(vm, live=running):
            task.log(f"ERROR: can't migrate VM which uses local devices: {', '.join(local)}")
            raise ApiError("migration aborted")
        async with cluster.locked(vm):
            moved = call.vm()  # another move may have been quicker
            moved.check_lock()
            _take_along(call, moved, target, live=running)

    if not cluster.kept_by_ha(vm.vmid):
        return call.start_task("qmigrate", worker)

    async def tell_ha(task: Task) -> None:
        cluster.later(_by_ha(worker, task))

    return call.start_task("hamigrate", tell_ha)


async def _by_ha(worker: Worker, task: Task) -> None:
    """Move a VM as the HA manager does, which goes on trying where this gives up."""
    try:
        await worker(task)
    except ApiError as error:
        task.log(error.text)


def _local_devices(vm: Vm, *, live: bool) -> list[str]:
    """Return the devices that only this node has, or that cannot move while the VM runs."""
    found = []
    for name, value in vm.config.items():
        family = indexed(name)[0]
        is_mapped = family == "virtiofs" or (family == "usb" and "mapping=" in value)
        if reserved(family, value, name) or (live and is_mapped):
            found.append(name)
    return found


def _take_along(call: Call, vm: Vm, target: str, *, live: bool) -> None:
    """Give a VM its disks on the other node, unused ones too, and then to that node."""
    volumes = call.cluster.volumes
    mapped = _pairs(call.params.get("targetstorage", ""))
    taken: list[tuple[str, Properties, Volume, Storage]] = []
    for slot, drive in (*vm.drives(), *vm.unused()):
        volume = volumes.get(vm.node, drive["file"])
        if volume is None or volumes.storages[volume.storage].shared:
            continue
        if volume.content != "images" or (
            live and not is_cloudinit(drive) and not call.flag("with-local-disks")
        ):
            raise ApiError("migration aborted")
        storage = volumes.for_images(mapped.get(volume.storage, volume.storage), target)
        taken.append((slot, drive, volume, storage))
    moved: dict[str, str] = {}
    for slot, drive, volume, storage in taken:
        if is_cloudinit(drive):
            copy = volumes.allocate_cloudinit(target, storage, vm.vmid)
        else:
            copy = volumes.allocate(target, storage, vm.vmid, volume.size, volume.format)
        size = {} if indexed(slot)[0] == "unused" else {"size": format_size(copy.size)}
        moved[slot] = print_drive(drive | {"file": copy.volid} | size)
    for slot, text in moved.items():
        volumes.remove(vm.node, parse_drive(slot, vm.config[slot])["file"])
        vm.config[slot] = text
    vm.node = target
    vm.changed()


def _pairs(text: str) -> Mapping[str, str]:
    """Read `from:to,from:to`."""
    pairs = (pair.partition(":") for pair in text.split(",") if ":" in pair)
    return {before: after for before, _, after in pairs}
