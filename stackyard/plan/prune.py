"""VMs of ours that no definition has: named, or removed where that was agreed to."""

from collections.abc import Iterator
from dataclasses import dataclass

from stackyard.definitions.model import Definition
from stackyard.plan.destroy import is_protected, removal_of
from stackyard.plan.observed import TAG, Observed, ObservedVm
from stackyard.plan.values import Action


@dataclass(frozen=True, slots=True)
class Removal:
    """What is removed, and a sentence on each VM that is kept."""

    actions: tuple[Action, ...]
    kept: tuple[str, ...]


def prune(fleet: tuple[Definition, ...], observed: Observed, agreed: bool) -> Removal:
    """Return the removal of every VM that has our tag and no definition, protected ones apart."""
    found = tuple(orphans(fleet, observed))
    removed = [vm for vm in found if agreed and not _why_kept(vm)]
    nameless = [vm for vm in observed.away if vm.name is None]
    return Removal(
        tuple(removal_of(vm) for vm in removed),
        tuple(
            _untold(vm) if vm in nameless else _kept(vm, agreed)
            for vm in found
            if vm not in removed
        ),
    )


def orphans(fleet: tuple[Definition, ...], observed: Observed) -> Iterator[ObservedVm]:
    """Return the VMs that have our tag and no definition, managed or not, by VMID."""
    known = {definition.name for definition in fleet}
    for vm in sorted(observed.vms, key=lambda vm: vm.vmid):
        if TAG in vm.tags and vm.name not in known:
            yield vm


def _why_kept(vm: ObservedVm) -> str:
    if vm.name is None:
        return "has no name"
    if vm.lock:
        return f"is locked ({vm.lock})"
    if vm.config is None:
        return "could not be read"
    return "is protected" if is_protected(vm) else ""


def _untold(vm: ObservedVm) -> str:
    """Proxmox forgets the names of a node that is away: the VM may well have a definition."""
    who = f"VM {vm.vmid} on {vm.node}"
    return f"{who} is ours, but its name is not known while {vm.node} does not answer"


def _kept(vm: ObservedVm, agreed: bool) -> str:
    who = f"{vm.name or 'a VM without a name'} (VM {vm.vmid} on {vm.node})"
    if agreed:
        return f"{who} is ours and has no definition, but it {_why_kept(vm)}: it is left alone"
    if vm.name is None:
        return f"{who} is ours and has no definition: give it its name back"
    return (
        f"{who} is ours and has no definition: `stackyard destroy {vm.name}` removes it, "
        "unless it is protected"
    )
