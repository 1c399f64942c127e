"""What becomes of VMs: removal, larger disks, templates."""

import asyncio

from stackyard.lab.api.call import Call
from stackyard.lab.api.cluster import Cluster
from stackyard.lab.api.drives import disk_volume
from stackyard.lab.api.faults import ApiError
from stackyard.lab.api.tasks import Task
from stackyard.lab.api.update import check_skiplock
from stackyard.lab.api.vm import (
    Vm,
    format_size,
    parse_drive,
    parse_size,
    print_drive,
)


async def destroy(call: Call) -> str:
    """DELETE …/V: a running or protected VM is refused at once, what else fails in the task."""
    cluster = call.cluster
    skip = check_skiplock(call)
    vm = call.vm()
    if vm.config.get("protection") == "1":
        raise ApiError(f"can't remove VM {vm.vmid} - protection mode enabled")
    if vm.vmid in cluster.ha and not call.flag("purge"):
        raise ApiError(
            f"unable to remove VM {vm.vmid} - used in HA resources and purge parameter not set."
        )
    if cluster.running(vm):
        raise ApiError(f"VM {vm.vmid} is running - destroy failed")

    async def worker(_task: Task) -> None:
        target = call.vm()
        async with cluster.locked(target):
            target = call.vm()
            cluster.check_writable(target)
            target.check_lock(skip=skip)
            if cluster.running(target):
                raise ApiError(f"VM {target.vmid} is running - destroy failed")
            for _, drive in target.disks():
                if cluster.volumes.in_use(target.node, drive["file"]):
                    raise ApiError(
                        f"base volume '{drive['file']}' is still in use by linked cloned"
                    )
            await asyncio.sleep(cluster.platform.latency.delete)
            await cluster.machines.destroy(target.vmid)
            cluster.forget(target)

    return call.start_task("qmdestroy", worker)


async def resize(call: Call) -> str:
    """PUT …/resize: `+1G` adds, `3G` is the total; what it refuses fails in the task."""
    cluster = call.cluster
    skip = check_skiplock(call)

    async def worker(_task: Task) -> None:
        vm = call.vm()
        async with cluster.locked(vm):
            vm = call.vm()
            vm.check_digest(call.params.get("digest"))
            vm.check_lock(skip=skip)
            await asyncio.sleep(cluster.platform.latency.resize)
            _grow(cluster, vm, call.params["disk"], call.params["size"])

    return call.start_task("resize", worker)


def _grow(cluster: Cluster, vm: Vm, slot: str, size: str) -> None:
    volume = disk_volume(vm, cluster.volumes, slot, "resize")
    wanted = parse_size(size.removeprefix("+")) + (volume.size if size.startswith("+") else 0)
    wanted = -(-wanted // 1024) * 1024
    if wanted < volume.size:
        raise ApiError("shrinking disks is not supported")
    cluster.volumes.grow(vm.node, volume.volid, wanted)
    drive = parse_drive(slot, vm.config[slot])
    vm.config[slot] = print_drive(drive | {"size": format_size(wanted)})
    vm.changed()


async def template(call: Call) -> str:
    """POST …/template: its disks become base images."""
    cluster = call.cluster
    vm = call.vm()
    vm.check_lock()
    if vm.template:
        raise ApiError("you can't convert a template to a template")
    if cluster.running(vm):
        raise ApiError("you can't convert a VM to template if VM is running")

    async def worker(_task: Task) -> None:
        async with cluster.locked(vm):
            convert(cluster, vm)

    return call.start_task("qmtemplate", worker)


def convert(cluster: Cluster, vm: Vm) -> None:
    """Make a VM a template."""
    for slot, drive in list(vm.disks()):
        base = cluster.volumes.make_base(vm.node, drive["file"])
        vm.config[slot] = print_drive(drive | {"file": base})
    vm.config["template"] = "1"
    vm.changed()
