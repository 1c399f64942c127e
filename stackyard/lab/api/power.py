"""Power of VMs: …/status/{start,stop,shutdown,reboot,reset,suspend,resume}."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from stackyard.lab.api.call import Call
from stackyard.lab.api.cloudinit import boot
from stackyard.lab.api.cluster import Cluster
from stackyard.lab.api.drives import apply_pending
from stackyard.lab.api.faults import ApiError
from stackyard.lab.api.tasks import Task
from stackyard.lab.api.update import check_skiplock
from stackyard.lab.api.vm import Vm
from stackyard.lab.machine import MachineError

_SHUTDOWN_SECONDS = 60


async def start(call: Call) -> str:
    """POST …/start: everything that may be wrong is found by the worker."""
    call.cluster.check_quorum()
    skip = check_skiplock(call)
    if call.cluster.kept_by_ha(call.vmid):
        return _tell_ha(call, "hastart", "started")

    async def worker(_task: Task) -> None:
        vm = call.vm()
        if vm.template:
            raise ApiError("you can't start a vm if it's a template")
        async with call.cluster.locked(vm):
            vm = call.vm()
            vm.check_lock(skip=skip)
            if call.cluster.running(vm):
                raise ApiError(f"VM {vm.vmid} already running")
            await switch_on(call.cluster, vm)

    return call.start_task("qmstart", worker)


async def switch_on(cluster: Cluster, vm: Vm) -> None:
    """Apply what is pending, check it against the node, and start the machine."""
    apply_pending(vm, cluster.volumes)
    node = cluster.platform.nodes[vm.node]
    if vm.number("vcpus", vm.threads) > node.threads or vm.threads > node.threads:
        raise ApiError(f"MAX {node.threads} vcpus allowed per VM on this node")
    for _, net in vm.nets():
        bridge = net.get("bridge")
        if bridge and bridge not in node.bridges:
            raise ApiError(f"bridge '{bridge}' does not exist")
    told = boot(cluster, vm)
    await asyncio.sleep(cluster.platform.latency.start)
    await cluster.machines.start(told)
    vm.started = time.time()
    vm.paused = False


async def switch_off(cluster: Cluster, vm: Vm) -> None:
    """Cut the power; what is pending holds from here on."""
    await asyncio.sleep(cluster.platform.latency.stop)
    await cluster.machines.stop(vm.vmid)
    _off(cluster, vm)


def _off(cluster: Cluster, vm: Vm) -> None:
    vm.started = None
    vm.paused = False
    apply_pending(vm, cluster.volumes)


async def stop(call: Call) -> str:
    """POST …/stop: a stopped VM is fine, even a locked one."""
    return _turn_off(call, "qmstop", lambda _task, vm: switch_off(call.cluster, vm))


async def shutdown(call: Call) -> str:
    """POST …/shutdown: asks the guest, and with forceStop cuts the power in the end."""

    async def ask(task: Task, vm: Vm) -> None:
        try:
            await _ask_off(call, vm)
        except MachineError as error:
            if not call.flag("forceStop"):
                raise
            task.log(f"{error} - terminating now with SIGTERM")
            await switch_off(call.cluster, vm)

    return _turn_off(call, "qmshutdown", ask)


def _turn_off(call: Call, kind: str, turn: Callable[[Task, Vm], Awaitable[None]]) -> str:
    """Let a task take the power away from the VM, if it has any."""
    call.cluster.check_quorum()
    skip = check_skiplock(call)
    if call.cluster.kept_by_ha(call.vmid):
        return _tell_ha(call, "hastop", "stopped")

    async def worker(task: Task) -> None:
        vm = call.cluster.findable(call.node, call.vmid)
        if not call.cluster.running(vm):
            return
        async with call.cluster.locked(vm):
            vm.check_lock(skip=skip)
            await turn(task, vm)

    return call.start_task(kind, worker)


async def _ask_off(call: Call, vm: Vm) -> None:
    await ask_off(call.cluster, vm, float(call.number("timeout", _SHUTDOWN_SECONDS)))


async def ask_off(cluster: Cluster, vm: Vm, seconds: float) -> None:
    """Ask the guest to power off; MachineError where it does not in time."""
    await cluster.machines.shutdown(vm.vmid, seconds)
    _off(cluster, vm)


def _tell_ha(call: Call, kind: str, state: str) -> str:
    """Leave the power to the HA manager: the task ends as soon as that knows."""

    async def worker(_task: Task) -> None:
        call.cluster.ha[call.vmid]["state"] = state
        call.cluster.later(keep_power(call.cluster, call.vmid))

    return call.start_task(kind, worker)


async def keep_power(cluster: Cluster, vmid: int) -> None:
    """Switch a VM's power as the state of its HA resource says, if it still says so."""
    vm = cluster.vms.get(vmid)
    if vm is None:
        return
    async with cluster.locked(vm):
        state, running = cluster.ha.get(vmid, {}).get("state"), cluster.running(vm)
        try:
            if state == "started" and not running:
                await switch_on(cluster, vm)
            elif state in ("stopped", "disabled") and running:
                await ask_off(cluster, vm, float(_SHUTDOWN_SECONDS))
        except MachineError:
            await switch_off(cluster, vm)
        except ApiError:
            cluster.ha[vmid]["state"] = "error"


def _running(call: Call) -> Vm:
    vm = call.cluster.vms.get(call.vmid)
    if vm is None or vm.node != call.node or not call.cluster.running(vm):
        raise ApiError(f"VM {call.vmid} not running")
    return vm


async def reboot(call: Call) -> str:
    """POST …/reboot: the task ends when the guest is off; it comes up again after that."""
    vm = _running(call)

    async def worker(_task: Task) -> None:
        async with call.cluster.locked(vm):
            vm.check_lock()
            await _ask_off(call, vm)
        call.cluster.later(_come_back(call.cluster, vm))

    return call.start_task("qmreboot", worker)


async def _come_back(cluster: Cluster, vm: Vm) -> None:
    async with cluster.locked(vm):
        if cluster.vms.get(vm.vmid) is vm and not cluster.running(vm):
            await switch_on(cluster, vm)


async def reset(call: Call) -> str:
    """POST …/reset: the power button held; pending changes stay pending."""
    vm = _running(call)
    skip = check_skiplock(call)

    async def worker(_task: Task) -> None:
        async with call.cluster.locked(vm):
            vm.check_lock(skip=skip)
            told = boot(call.cluster, vm)
            await call.cluster.machines.stop(vm.vmid)
            await call.cluster.machines.start(told)

    return call.start_task("qmreset", worker)


async def suspend(call: Call) -> str:
    """POST …/suspend: the machine behind goes on, only the state shows it as paused."""
    vm = _running(call)
    skip = check_skiplock(call)

    async def worker(_task: Task) -> None:
        vm.check_lock(skip=skip)
        vm.paused = True

    return call.start_task("qmsuspend", worker)


async def resume(call: Call) -> str:
    """POST …/resume."""
    vm = _running(call)

    async def worker(_task: Task) -> None:
        vm.paused = False

    return call.start_task("qmresume", worker)
