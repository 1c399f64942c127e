"""Whose VMIDs are taken although the nodes' lists do not show them.

The lists have the QEMU VMs of nodes that answer. A container, or a VM on a node that is away, takes
its VMID all the same.
"""

from collections.abc import Callable
from dataclasses import replace

from stackyard.plan.observed import Observed
from stackyard.proxmox.client import Client


def observe_taken(
    client: Client, observed: Observed, assigned: Callable[[Observed], set[int]]
) -> Observed:
    """Add the VMIDs of all that is there, where new VMs are going to be made.

    One call: `GET /cluster/resources` is late with names, but has each VMID at once. It leaves out
    what the token may not see; who is assigned such a VMID loses it and is given another one.

    Raises:
        ProxmoxError: Proxmox refused or did not answer.
        PlanError: no VMID is free.
    """
    known = {vm.vmid for vm in observed.vms}
    if assigned(observed) <= known:
        return observed
    there = {int(row["vmid"]) for row in client.get("/cluster/resources", type="vm")}
    return replace(observed, taken=frozenset(there - known))
