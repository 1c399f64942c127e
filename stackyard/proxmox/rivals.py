"""New VMs whose VMID somebody else was quicker to take: they are made under another one."""

from dataclasses import replace

from stackyard.definitions.model import Definition
from stackyard.errors import StackyardError
from stackyard.fleet import Site
from stackyard.plan import Observed, Plan, make_plan
from stackyard.proxmox.apply import Reached, Terms, apply_plan
from stackyard.proxmox.client import Client
from stackyard.proxmox.observe import observe

ATTEMPTS = 5


def with_fresh_vmids(
    client: Client,
    reached: tuple[Reached, ...],
    fleet: tuple[Definition, ...],
    site: Site,
    terms: Terms,
) -> tuple[Reached, ...]:
    """Make those that lost their VMID with another one, unless it was lost to a VM of that name.

    Who has it must be in the lists: of a VM that the token may not see nobody knows the name, and
    most likely it is the very VM, since a VMID follows from a name.
    """
    known = {definition.name for definition in fleet}  # none of a kept plan: it is done to the word
    for _ in range(ATTEMPTS):
        lost = _lost(reached, known)
        if not lost:
            break
        try:
            observed = observe(client, fleet, site, ",".join(sorted(lost)))
            if any(vm.vmid in lost.values() and not vm.name for vm in observed.vms):
                break  # still being made: it may well be the very VM
            reached = tuple(_told(action, observed) for action in reached)
            lost = _lost(reached, known)
            names = ",".join(sorted(lost))
            if not names:
                break
            observed = replace(observed, taken=observed.taken | frozenset(lost.values()))
            plan = make_plan(fleet, observed, site, names)
            fresh = [a for a in plan.actions if a.verb == "create" and a.vmid != lost[a.name]]
            if plan.problems or not fresh:
                break
            done = apply_plan(client, Plan((tuple(fresh),)), terms)
        except StackyardError as error:
            return tuple(_without_fresh(action, error) for action in reached)
        again = {action.name: action for action in done}
        reached = tuple(again.get(action.name, action) for action in reached)
    return reached


def _lost(reached: tuple[Reached, ...], known: set[str]) -> dict[str, int]:
    return {a.name: a.vmid for a in reached if a.lost_vmid and a.name in known}


def _told(reached: Reached, observed: Observed) -> Reached:
    """Return an action that gets no other VMID where a VM has its own and is not to be seen."""
    name, vmid = reached.name, reached.vmid
    if not reached.lost_to_vm or vmid in observed.taken or observed.numbered(vmid):
        return reached
    error = (
        f"VM {vmid} is in no list that the token is shown, and may be {name} itself: give the "
        f"token VM.Audit on it, or {name} another vmid"
    )
    return replace(reached, error=error, lost_vmid=False, lost_to_vm=False)


def _without_fresh(reached: Reached, error: StackyardError) -> Reached:
    if not reached.lost_vmid:
        return reached
    return replace(reached, error=f"{reached.error}; it got no other one: {error}")
