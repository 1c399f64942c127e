"""Whether a plan that was kept still fits the world: what moved since is not touched."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from stackyard.plan.errors import PlanError
from stackyard.plan.observed import Observed, ObservedVm
from stackyard.plan.values import Action, Clone, Delete, ManageHa, Plan, Unlock
from stackyard.plan.waves import waits_for


def identity(observed: Observed) -> tuple[str, ...]:
    """Return what a cluster is known by: its nodes, each with its certificate's fingerprint."""
    certificates = observed.certificates
    return tuple(f"{node} {certificates.get(node, '')}".rstrip() for node in sorted(observed.nodes))


def check_cluster(plan: Plan, observed: Observed) -> None:
    """Refuse a plan of another cluster, where VMIDs and names mean other VMs.

    A node may have come, and one that is away tells no certificate.

    Raises:
        PlanError: a node of the plan is unknown here, or is another machine.
    """
    for known in plan.cluster:
        node, _, before = known.partition(" ")
        now = observed.certificates.get(node, "")
        if node not in observed.nodes:
            raise PlanError(f"the plan was made for a cluster with a node {node}; this has none")
        if before and now and before != now:
            raise PlanError(
                f"the plan was made for a cluster whose {node} had another certificate: "
                "plan again on this one"
            )


def moved_since(plan: Plan, observed: Observed) -> dict[str, str]:
    """Return a sentence for each VM that is not as the plan found it, by the VM's name."""
    made = {action.vmid for action in plan.actions if action.verb != "destroy"}
    freed = {a.vmid for a in plan.actions if any(isinstance(s, Delete) for s in a.steps)}
    refused: dict[str, str] = {}
    for action in plan.actions:
        why = next(_reasons(action, observed, made, freed), None)
        if why:
            vm = f"{action.name} (VM {action.vmid} on {action.node})"
            refused[action.name] = f"{vm} is left alone: {why}; plan again"
    return refused


def left_alone(plan: Plan, refused: Iterable[str]) -> frozenset[str]:
    """Return the names of the refused VMs, and of those that wait for one of them."""
    left = {action.name: action for action in plan.actions if action.name in set(refused)}
    while more := {
        action.name: action
        for action in plan.actions
        if action.name not in left and any(waits_for(action, other) for other in left.values())
    }:
        left |= more
    return frozenset(left)


def with_digests(plan: Plan, observed: Observed) -> Plan:
    """Return the plan with the digests of now: a lock that came or went gives a VM another one."""
    digests = {vm.vmid: vm.config.digest for vm in observed.vms if vm.config}
    waves = (
        tuple(replace(a, digest=digests.get(a.vmid, a.digest)) if a.digest else a for a in wave)
        for wave in plan.waves
    )
    return replace(plan, waves=tuple(waves))


def _reasons(action: Action, observed: Observed, made: set[int], freed: set[int]) -> Iterator[str]:
    for node in {action.node, action.final_node}:
        if not observed.nodes.get(node):
            yield f"{node} is offline or does not answer"
    vm = next(iter(observed.numbered(action.vmid)), None)
    if action.verb == "create":
        yield from _not_to_be_there(action, vm, observed, freed)
    elif isinstance(action.steps[0], Unlock):
        yield from _locked_as_it_was(action.steps[0], vm)
    else:
        yield from _as_it_was(action, vm)
    for step in action.steps:
        if isinstance(step, Clone) and step.template_vmid not in made:
            yield from _template(step, action, observed)


def _not_to_be_there(
    action: Action, vm: ObservedVm | None, observed: Observed, freed: set[int]
) -> Iterator[str]:
    if vm is not None and vm.vmid not in freed:
        yield f"its VMID has been taken by {vm.name or 'another VM'} on {vm.node}"
    for other in observed.named(action.name):
        yield f"VM {other.vmid} on {other.node} has its name now"


def _locked_as_it_was(step: Unlock, vm: ObservedVm | None) -> Iterator[str]:
    """What is left of a making has no name; its digest is compared when its lock is taken off."""
    if vm is None or vm.lock != step.lock:
        yield f"it is not locked ({step.lock}) any more"


def _as_it_was(action: Action, vm: ObservedVm | None) -> Iterator[str]:
    if vm is None or vm.name != action.name:
        yield "it is not there any more"
        return
    if vm.node != action.node:
        yield f"it is on {vm.node} now"
    if vm.status != action.status:
        yield f"it is {vm.status} now, and was {action.status} when the plan was made"
    if vm.config is None or vm.config.fingerprint != action.fingerprint:
        yield "its configuration changed since the plan was made"
    resource = next((step for step in action.steps if isinstance(step, ManageHa)), None)
    if resource and action.verb == "update" and resource.before != vm.ha:
        yield "its resource of high availability changed since the plan was made"


def _template(step: Clone, action: Action, observed: Observed) -> Iterator[str]:
    node = action.final_node
    found = (vm for vm in observed.named(step.template) if vm.vmid == step.template_vmid)
    if not any(vm.template and vm.node == node for vm in found):
        yield f"its template {step.template} (VM {step.template_vmid}) is not on {node} any more"
