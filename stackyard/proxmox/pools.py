"""Resource pools: which there are, and which VMs are in them. No configuration tells that."""

from collections.abc import Iterable
from dataclasses import replace

from stackyard.plan.observed import Observed, ObservedVm
from stackyard.proxmox.client import Client


def observe_pools(client: Client, observed: Observed, wanted: Iterable[str]) -> Observed:
    """Add the pools that exist, and to the VMs in the wanted ones where they are.

    A call for the list, and one for each wanted pool.

    Raises:
        ProxmoxError: Proxmox refused or did not answer.
    """
    pools = frozenset(str(row["poolid"]) for row in client.get("/pools"))
    inside: dict[int, str] = {}
    for pool in sorted(pools.intersection(wanted)):
        members = client.get(f"/pools/{pool}").get("members", [])
        inside.update({int(m["vmid"]): pool for m in members if "vmid" in m})
    vms = tuple(in_pool(vm, inside.get(vm.vmid)) for vm in observed.vms)
    return replace(observed, vms=vms, pools=pools)


def find_pool(client: Client, vmid: int) -> str | None:
    """Return the pool that a VM is in; None where it is in none, or in one we are not shown.

    One call, however many pools there are: `GET /cluster/resources`, which is late with what a VM
    does, but not with its pool.

    Raises:
        ProxmoxError: Proxmox refused or did not answer.
    """
    rows = client.get("/cluster/resources", type="vm")
    return next((row.get("pool") for row in rows if row.get("vmid") == vmid), None)


def in_pool(vm: ObservedVm, pool: str | None) -> ObservedVm:
    """Return the VM with the pool it is in, if any, as its configuration does not tell it."""
    if pool is None or vm.config is None:
        return vm
    return replace(vm, config=replace(vm.config, values={**vm.config.values, "pool": pool}))


def put_into_pool(client: Client, vmid: int, pool: str) -> None:
    """Put a VM into a pool, out of the one it is in.

    Raises:
        ProxmoxError: Proxmox refused or did not answer.
    """
    client.put(f"/pools/{pool}", vms=str(vmid), **{"allow-move": True})
