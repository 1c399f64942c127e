"""Whose VMIDs are taken although the nodes' lists do not show them.

The lists have the QEMU VMs of nodes that answer. A container, or a VM on a node that is away, takes
its VMID all the same.
"""

from collections.abc import Callable
from dataclasses import replace

from stackyard.plan.observed import Observed
from stackyard.proxmox.client import Client


def with_taken(
    client: Client, look: Callable[[], Observed], assigned: Callable[[Observed], set[int]]
) -> Observed:
    """Look, and add the VMIDs of all that is there, where new VMs are going to be made.

    One call: `GET /cluster/resources` is late with names, but has each VMID at once. It leaves out
    what the token may not see; who is assigned such a VMID loses it and is told so.

    A VMID that the lists did not show may have been taken after they were read: by another apply,
    which makes the very VM that it is assigned to. A VM that no list has may have moved from one
    node to another between them. A second look tells.

    Raises:
        ProxmoxError: Proxmox refused or did not answer.
        PlanError: no VMID is free.
    """
    observed = look()
    if assigned(observed) <= _listed(observed):
        return observed
    rows = client.get("/cluster/resources", type="vm")
    there = {int(row["vmid"]) for row in rows}
    vms = {int(row["vmid"]) for row in rows if row["type"] == "qemu"}
    if (assigned(observed) | vms) & (there - _listed(observed)):
        observed = look()
    return replace(observed, taken=frozenset(there - _listed(observed)))


def _listed(observed: Observed) -> set[int]:
    return {vm.vmid for vm in observed.vms}
