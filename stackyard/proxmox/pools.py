"""Resource pools: which there are, and which VMs are in them. No configuration tells that."""

from collections.abc import Iterable
from dataclasses import replace

from stackyard.plan.observed import Observed, ObservedVm
from stackyard.proxmox.client import Client


def observe_pools(client: Client, observed: Observed, wanted: Iterable[str]) -> Observed:
    """Add the pools that exist, and to the VMs in the wanted ones where they are.

    Raises:
        ProxmoxError: Proxmox refused or did not answer.
    """
    pools = frozenset(str(row["poolid"]) for row in client.get("/pools"))
    known = pools.intersection(wanted)
    inside = {vmid: pool for vmid, pool in _pools_of_vms(client).items() if pool in known}
    vms = tuple(in_pool(vm, inside.get(vm.vmid)) for vm in observed.vms)
    return replace(observed, vms=vms, pools=pools)


def find_pool(client: Client, vmid: int) -> str | None:
    """Return the pool that a VM is in; None where it is in none, or in one we are not shown.

    Raises:
        ProxmoxError: Proxmox refused or did not answer.
    """
    return _pools_of_vms(client).get(vmid)


def _pools_of_vms(client: Client) -> dict[int, str]:
    """Return by VMID the pools that VMs are in.

    One call, however many pools there are: `GET /cluster/resources`, which is late with what a VM
    does, but not with its pool.
    """
    rows = client.get("/cluster/resources", type="vm")
    return {int(row["vmid"]): str(row["pool"]) for row in rows if row.get("pool")}


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
    # No path names a pool inside another one; releases without such pools know nothing but paths.
    path, name = ("/pools", {"poolid": pool}) if "/" in pool else (f"/pools/{pool}", {})
    client.put(path, vms=str(vmid), **name, **{"allow-move": True})
