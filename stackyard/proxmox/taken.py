"""Whose VMIDs and names are taken although the nodes' lists do not show them.

The lists have QEMU VMs that the token may see, of nodes that answer. A container, a VM that is
hidden from the token or one on a node that is away takes its VMID all the same.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from stackyard.plan.observed import Observed
from stackyard.proxmox.client import Client
from stackyard.proxmox.errors import ApiError


def observe_taken(
    client: Client,
    pool: ThreadPoolExecutor,
    observed: Observed,
    assigned: Callable[[Observed], set[int]],
) -> Observed:
    """Ask for the VMIDs that new VMs would be assigned, until it is known of each.

    `GET /cluster/nextid?vmid=N` knows all of them; a call for each new VM, and none where all are
    there.

    Raises:
        ProxmoxError: Proxmox refused or did not answer.
        PlanError: no VMID is free.
    """
    known = {vm.vmid for vm in observed.vms}
    while True:
        unknown = sorted(assigned(observed) - known)
        if not unknown:
            return observed
        known.update(unknown)
        answers = pool.map(lambda vmid: _is_taken(client, vmid), unknown)
        taken = {vmid for vmid, is_taken in zip(unknown, answers, strict=True) if is_taken}
        observed = replace(observed, taken=observed.taken | taken)


def _is_taken(client: Client, vmid: int) -> bool:
    try:
        client.get("/cluster/nextid", vmid=vmid)
    except ApiError as error:
        if "vmid" in error.errors:
            return True
        raise
    return False
