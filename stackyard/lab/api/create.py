"""New VMs: POST /nodes/N/qemu, and the configuration one starts with."""

import asyncio

from stackyard.lab.api.call import Call
from stackyard.lab.api.cluster import Cluster
from stackyard.lab.api.devices import words
from stackyard.lab.api.drives import Place, check_drive, make_drive
from stackyard.lab.api.faults import ApiError
from stackyard.lab.api.hardware import pinned
from stackyard.lab.api.options import drive_table
from stackyard.lab.api.power import start as start_vm
from stackyard.lab.api.tasks import Task
from stackyard.lab.api.update import check_reserved, check_root_options, normal_value
from stackyard.lab.api.vm import Vm, creation_meta, is_cdrom, new_identity

_NOT_OPTIONS = frozenset(
    words("vmid pool start force unique bwlimit storage archive ha-managed import-working- storage")
)


async def create(call: Call) -> str:
    """POST /nodes/N/qemu: the configuration is there at once, locked; disks come with the task."""
    cluster, node = call.cluster, call.node
    vmid = int(call.params["vmid"])
    options = {k: v for k, v in call.params.items() if k not in _NOT_OPTIONS}
    place = Place(node, vmid, call.identity.root)
    cluster.check_pool(call.params.get("pool"))
    check_root_options(call, options)
    check_reserved(call, options)
    for name, value in options.items():
        if drive_table(name):
            check_drive(cluster.volumes, place, name, value)
    cluster.check_quorum()
    cluster.check_no_container(vmid)
    taken = cluster.vms.get(vmid)
    if taken:
        raise ApiError(
            f"unable to create VM {vmid} - VM {vmid} already exists on node '{taken.node}'"
        )
    vm = cluster.vms[vmid] = Vm(vmid, node, {"lock": "create"})

    async def worker(task: Task) -> None:
        async with cluster.locked(vm):
            try:
                await asyncio.sleep(cluster.platform.latency.create)
                vm.config = build_config(cluster, place, options, task)
            except ApiError as error:
                cluster.forget(vm)
                raise ApiError(f"unable to create VM {vmid} - {error.text}") from error
            except asyncio.CancelledError:
                cluster.forget(vm)
                raise
            vm.changed()
            if "pool" in call.params:
                cluster.pools[call.params["pool"]].vmids.add(vmid)
        if call.flag("start"):
            await start_vm(_about(call, vmid))

    return call.start_task("qmcreate", worker, str(vmid))


def _about(call: Call, vmid: int) -> Call:
    path = {"node": call.node, "vmid": str(vmid)}
    return Call(call.cluster, call.authority, call.identity, path, {})


def build_config(
    cluster: Cluster, place: Place, options: dict[str, str], task: Task | None = None
) -> dict[str, str]:
    """Return the configuration of a new VM; the volumes of its disks are made."""
    vm = Vm(place.vmid, place.node)
    for name, value in options.items():
        if not drive_table(name):
            vm.config[name] = normal_value(name, value)
            continue
        vm.config[name] = make_drive(cluster.volumes, place, vm, name, value)
        if task:
            task.log(f"{name}: successfully created disk '{vm.config[name]}'")
    machine = pinned(vm.config.get("machine", ""), vm.config.get("ostype"))
    vm.config |= {"machine": machine} if machine else {}
    devices = _boot_order(vm)
    if devices:
        vm.config.setdefault("boot", f"order={';'.join(devices)}")
    return new_identity() | {"meta": creation_meta()} | vm.config


def _boot_order(vm: Vm) -> list[str]:
    disk = next((slot for slot, drive in vm.drives() if not is_cdrom(drive)), None)
    cdrom = next((s for s, d in vm.drives() if is_cdrom(d) and s != vm.cloudinit_slot()), None)
    net = next((f"net{number}" for number, _ in vm.nets()), None)
    return [device for device in (disk, cdrom, net) if device]
