"""VMs that Proxmox is making: waited for while it does, and told apart from what it left behind.

While a VM is cloned it has a lock and no name (`GET …/config` shows `qmclone temporary file`), so
what it is going to be cannot be seen. A node that lost power keeps the lock for ever.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from stackyard.plan.observed import Observed, ObservedVm
from stackyard.proxmox.client import TOLD_AFTER_SECONDS, Client
from stackyard.proxmox.pauses import growing

FIRST_SECONDS, LONGEST_SECONDS = 0.2, 3.0
# Proxmox locks the new VM first and begins the task afterwards, so one look proves nothing.
WITHOUT_TASK_SECONDS = 2.0
_CLONING = "qmclone"  # a task has the VMID of its source
_MAKING = frozenset({"qmcreate", "qmrestore"})


def when_made(
    client: Client,
    look: Callable[[], Observed],
    concerns: Callable[[Observed, ObservedVm], bool],
    patience: float,
) -> Observed:
    """Look until no VM that concerns us is being made any more, for `patience` seconds at most.

    Those whose lock no task has held for `WITHOUT_TASK_SECONDS` come back as abandoned.

    Raises:
        ProxmoxError: Proxmox refused or did not answer.
    """

    def being_made(observed: Observed) -> set[int]:
        return {vm.vmid for vm in observed.vms if vm.is_being_made and concerns(observed, vm)}

    begun, pauses = time.monotonic(), growing(FIRST_SECONDS, LONGEST_SECONDS)
    observed, told = look(), set[int]()
    since: dict[int, float] = {}  # when each was first seen without a task
    while locked := being_made(observed):
        tasks, now = _running(client, observed), time.monotonic()
        idle = {vmid for vmid in locked if not any(_makes(task, vmid) for task in tasks)}
        since = {vmid: since.get(vmid, now) for vmid in idle}
        left = {vmid for vmid, first in since.items() if now - first >= WITHOUT_TASK_SECONDS}
        observed = _with_abandoned(look(), left)  # after the tasks, which may have just ended
        left_over, waited = being_made(observed), time.monotonic() - begun
        if not left_over or waited > patience:
            break
        if waited > TOLD_AFTER_SECONDS and not left_over <= told:
            client.tell(_awaited(observed, left_over))
            told |= left_over
        time.sleep(next(pauses))
        observed = look()
    return observed


def _awaited(observed: Observed, vmids: set[int]) -> str:
    vms = ", ".join(f"VM {vm.vmid} on {vm.node}" for vm in observed.vms if vm.vmid in vmids)
    return f"waiting for {vms}: Proxmox is still making what may be one of yours"


def _running(client: Client, observed: Observed) -> list[dict[str, Any]]:
    """Return the tasks that run, on all nodes: one may make a VM for another node."""
    nodes = (node for node, is_online in observed.nodes.items() if is_online)
    return [
        task
        for node in nodes
        for task in client.get(f"/nodes/{node}/tasks", source="active", limit=1000)
    ]


def _with_abandoned(observed: Observed, left: set[int]) -> Observed:
    """Mark those that no task was making, if they still are as if they were being made."""
    vms = (
        replace(vm, abandoned=True) if vm.is_being_made and vm.vmid in left else vm
        for vm in observed.vms
    )
    return replace(observed, vms=tuple(vms))


def _makes(task: dict[str, Any], vmid: int) -> bool:
    kind = task.get("type")
    return kind == _CLONING or (kind in _MAKING and str(task.get("id")) == str(vmid))
