"""The state of the cluster: VMs, storages, tasks, pools, and what the nodes are up to."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from stackyard.lab.api.drives import apply_pending
from stackyard.lab.api.faults import NODE_UNREACHABLE, ApiError, no_config, not_found
from stackyard.lab.api.tasks import Tasks
from stackyard.lab.api.vm import Vm
from stackyard.lab.api.volumes import Volumes
from stackyard.lab.machine import Machines
from stackyard.lab.platform import Platform

_FIRST_VMID = 100


@dataclass
class Pool:
    """A resource pool: VMs and storages by name."""

    comment: str = ""
    vmids: set[int] = field(default_factory=set)
    storages: set[str] = field(default_factory=set)


class Cluster:
    """One cluster. Every node answers for all of them, as pveproxy passes calls on."""

    def __init__(self, platform: Platform, machines: Machines) -> None:
        self.platform = platform
        self.machines = machines
        self.volumes = Volumes(platform)
        self.tasks = Tasks()
        self.vms: dict[int, Vm] = {}
        self.containers: dict[int, str] = {}  # VMID → node: all that is known of them
        self.ha: dict[int, dict[str, str]] = {}  # resources of high availability by VMID
        self.pools = {name: Pool() for name in platform.pools}
        self.quorum = True
        self.certificate = ""  # the fingerprint of the one that all nodes serve
        self.down: dict[str, str] = {}  # node → what connecting to it says
        self.began = time.time()
        self.seen: dict[int, Mapping[str, object]] = {}  # VMs as pvestatd saw them last
        self._background: set[asyncio.Task[None]] = set()

    def check_node(self, node: str) -> None:
        """Refuse a path on a node that is not there (500) or not up (595, no body)."""
        if node not in self.platform.nodes:
            raise ApiError(
                f"hostname lookup '{node}' failed - failed to get address info for: {node}: "
                "Name or service not known"
            )
        if node in self.down:
            raise ApiError(self.down[node], NODE_UNREACHABLE)

    def check_target(self, node: str) -> None:
        """Refuse a parameter that names no node."""
        if node not in self.platform.nodes:
            raise ApiError(f"no such cluster node '{node}'")

    def check_quorum(self) -> None:
        if not self.quorum:
            raise ApiError("cluster not ready - no quorum?")

    def check_writable(self, vm: Vm) -> None:
        """Refuse to write a VM's configuration, as the cluster's file system does by itself."""
        if not self.quorum:
            path = f"/etc/pve/nodes/{vm.node}/qemu-server/{vm.vmid}.conf.tmp.1000"
            raise ApiError(f"unable to open file '{path}' - Permission denied")

    def vm(self, node: str, vmid: int) -> Vm:
        """Return a VM of this node.

        Raises:
            ApiError: the VM is not there, or on another node.
        """
        vm = self.vms.get(vmid)
        if vm is None or vm.node != node:
            raise no_config(vmid, node)
        return vm

    def findable(self, node: str, vmid: int) -> Vm:
        """Return a VM of this node, with the other text that clone and stop have for none."""
        vm = self.vms.get(vmid)
        if vm is None or vm.node != node:
            raise not_found(vmid, node)
        return vm

    def of_node(self, node: str) -> list[Vm]:
        return [vm for vm in self.vms.values() if vm.node == node]

    def running(self, vm: Vm) -> bool:
        """Whether a VM runs; one that powered itself off is cleaned up, as qmeventd does."""
        if vm.started is not None and not self.machines.running(vm.vmid):
            vm.started = None
            vm.paused = False
            apply_pending(vm, self.volumes)
        return vm.started is not None

    def free_vmid(self) -> int:
        vmid = _FIRST_VMID
        while vmid in self.vms or vmid in self.containers:
            vmid += 1
        return vmid

    def check_no_container(self, vmid: int) -> None:
        """Refuse the VMID of a container."""
        if vmid in self.containers:
            node = self.containers[vmid]
            raise ApiError(
                f"unable to create VM {vmid} - CT {vmid} already exists on node '{node}'"
            )

    def kept_by_ha(self, vmid: int) -> bool:
        """Whether the HA manager sees to a VM's power."""
        return self.ha.get(vmid, {"state": "ignored"})["state"] != "ignored"

    def check_pool(self, pool: str | None) -> None:
        if pool is not None and pool not in self.pools:
            raise ApiError(f"Permission check failed (pool '{pool}' does not exist)", 403)

    def pool_of(self, vmid: int) -> str | None:
        return next((name for name, pool in self.pools.items() if vmid in pool.vmids), None)

    def forget(self, vm: Vm) -> None:
        """Remove a VM and all that it owns."""
        for volume in self.volumes.owned(vm.vmid, vm.node):
            self.volumes.remove(vm.node, volume.volid)
        for pool in self.pools.values():
            pool.vmids.discard(vm.vmid)
        self.ha.pop(vm.vmid, None)
        self.vms.pop(vm.vmid, None)

    @asynccontextmanager
    async def locked(self, vm: Vm) -> AsyncIterator[None]:
        """Hold a VM's lock file, waiting for whoever has it as long as the real server does."""
        try:
            async with asyncio.timeout(self.platform.timing.lock):
                await vm.flock.acquire()
        except TimeoutError:
            path = f"/var/lock/qemu-server/lock-{vm.vmid}.conf"
            raise ApiError(f"can't lock file '{path}' - got timeout") from None
        try:
            yield
        finally:
            vm.flock.release()

    def later(self, work: Coroutine[None, None, None]) -> None:
        """Let work go on that no task stands for."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """Stop all work; the machines are left to whoever owns them."""
        for task in tuple(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.tasks.close()
