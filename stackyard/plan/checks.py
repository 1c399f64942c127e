"""What stands against planning for one VM at all, each as one sentence for a person."""

from collections.abc import Iterator

from stackyard.definitions.hardware import Usb, Virtiofs
from stackyard.definitions.model import Definition
from stackyard.plan.availability import power_of
from stackyard.plan.observed import TAG, Observed, ObservedVm
from stackyard.plan.privileges import is_device_of_node

Problem = tuple[str, str]  # the key of the definition that it is about, and the sentence


def conflict(
    definition: Definition, observed: Observed, vmid: int, freed: frozenset[int] = frozenset()
) -> Problem | None:
    """Return why nothing can be planned for this VM, or None; `freed` VMIDs are given up first."""
    return next(_conflicts(definition, observed, vmid, freed), None)


def _conflicts(
    definition: Definition, observed: Observed, vmid: int, freed: frozenset[int]
) -> Iterator[Problem]:
    name, ours = definition.name, observed.ours(definition.name)
    if len(ours) > 1:
        yield "name", several(name, ours)
    yield from (("target_node", said) for said in _node(definition, observed))
    pool = definition.pool
    if pool is not None and observed.pools is not None and pool not in observed.pools:
        missing = f"{name} is wanted in the pool {pool}, which does not exist"
        yield "pool", f"{missing}: make it first, or let the token see it"
    if vmid not in freed:
        yield from (("vmid", said) for said in _vmid(name, observed, vmid))
    if ours:
        yield from _existing(definition, ours[0], observed)
    else:
        for vm in observed.named(name):
            yield "name", not_ours(vm, f"rename it, or give it the tag {TAG} to hand it over")
        for vm in observed.away:
            if vm.name is None and TAG in vm.tags:
                where = f"VM {vm.vmid} on {vm.node}, which does not answer"
                said = f"{name} is not there, but {where}, may be it: bring the node up first"
                yield "name", said


def _node(definition: Definition, observed: Observed) -> Iterator[str]:
    node, name = definition.target_node, definition.name
    if node not in observed.nodes:
        yield f"{name} is wanted on {node}, which is not a node of this cluster"
    elif not observed.nodes[node]:
        yield f"{name} is wanted on {node}, which is offline or does not answer: bring it up first"


def unmovable(definition: Definition, vm: ObservedVm) -> Iterator[str]:
    """Yield why Proxmox would refuse the move of a VM to another node."""
    if vm.node == definition.target_node or vm.config is None:
        return
    runs = vm.status == "running" and power_of(definition) != "stopped"
    at = definition.source.at("target_node")
    moves = f"{definition.name} is VM {vm.vmid} on {vm.node}, not on {definition.target_node}, and"
    for key, value in sorted(vm.config.values.items()):
        is_mapped = isinstance(value, Virtiofs) or (isinstance(value, Usb) and bool(value.mapping))
        if is_device_of_node(key, value):
            why = f"{key} passes a device of {vm.node} through: take it out"
        elif runs and is_mapped:
            why = f"{key} cannot move while the VM runs: shut it down first"
        else:
            continue
        yield f"{at}: {moves} {why}, or set target_node: {vm.node}"


def _vmid(name: str, observed: Observed, vmid: int) -> Iterator[str]:
    if vmid in observed.taken:
        yield (
            f"the VMID {vmid} of {name} is taken by a container or by a VM that the token may not "
            "see: choose another one"
        )
    for vm in observed.numbered(vmid):
        if vm.name == name or vm.is_leftover:
            continue
        if vm.is_being_made and not vm.name:
            yield f"{name} (VM {vmid} on {vm.node}) is still being made: wait and plan again"
        else:
            yield f"the VMID {vmid} of {name} belongs to {vm.name} on {vm.node}: choose another one"


def _existing(definition: Definition, vm: ObservedVm, observed: Observed) -> Iterator[Problem]:
    name = definition.name
    if not observed.nodes.get(vm.node):
        yield (
            "name",
            f"{name} is VM {vm.vmid} on {vm.node}, which does not answer: bring it up first",
        )
    if definition.vmid not in (None, vm.vmid):
        said = f"{name} is VM {vm.vmid}, not {definition.vmid}: a VMID cannot change, set vmid back"
        yield "vmid", said
    if vm.abandoned and not vm.is_leftover:
        said = (
            f"{name} (VM {vm.vmid} on {vm.node}) was left locked ({vm.lock}) by something that was "
            f"broken off: see whether it is whole, and run `qm unlock {vm.vmid}` as root on "
            f"{vm.node}"
        )
        yield "name", said
    if vm.is_being_made:
        yield "name", f"{name} (VM {vm.vmid} on {vm.node}) is still being made: wait and plan again"
    if vm.template and not definition.template:
        said = f"{name} (VM {vm.vmid} on {vm.node}) is a template: set template: true or rename it"
        yield "name", said


def several(name: str, ours: tuple[ObservedVm, ...]) -> str:
    """Say that a name is there more than once."""
    places = ", ".join(f"{vm.vmid} on {vm.node}" for vm in ours)
    return f"there are {len(ours)} VMs of ours named {name} ({places}): keep one of them"


def not_ours(vm: ObservedVm, advice: str) -> str:
    """Say that a VM was not made by this product."""
    return (
        f"VM {vm.vmid} on {vm.node} is named {vm.name} and is not ours (it has no tag {TAG}): "
        f"{advice}"
    )


def missing_template(name: str, node: str, observed: Observed) -> str:
    """Say where a template is instead of on the node that needs it."""
    places = sorted(vm.node for vm in observed.named(name) if vm.template)
    if places:
        return (
            f"the template {name} is not on {node} but on {', '.join(places)}: "
            f"make one on {node}, a clone is made where its template is"
        )
    if any(vm.node == node for vm in observed.named(name)):
        return f"{name} on {node} is a VM, not a template: convert it to a template first"
    return f"there is no template {name} on {node}, or the token may not see it"
