"""Addresses that a plan gives to a VM while another VM of ours goes on using them.

Definitions cannot share an address: that is checked before. What is there can have one all the
same: a VM whose definition was renamed, one outside the limit, one that keeps its address until
somebody restarts it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stackyard.definitions.model import Definition
from stackyard.plan.observed import TAG, Observed, ObservedVm
from stackyard.plan.values import Action, Plan
from stackyard.plan.waves import addresses_of, changes_of, freed_by, taken_by


@dataclass(frozen=True, slots=True)
class Shared:
    """What stands against a plan, and what is only told."""

    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def takes_addresses(plan: Plan) -> bool:
    """Tell whether a plan gives a VM an address that it did not have."""
    return any(taken_by(action) for action in plan.actions)


def shared_addresses(plan: Plan, definitions: Iterable[Definition], observed: Observed) -> Shared:
    """Return a sentence for each address that two VMs would have; `observed` is of all of ours.

    It is a problem where the other VM runs, else a note.
    """
    known = {definition.name: definition for definition in definitions}
    actions = {action.vmid: action for action in plan.actions if action.verb != "create"}
    problems: list[str] = []
    notes: list[str] = []
    for action in plan.actions:
        for key, address in _new_addresses(action):
            at = known[action.name].source.at(key) if action.name in known else action.name
            for vm in _holders(address, action, observed, actions):
                (problems if vm.status == "running" else notes).append(
                    f"{at}: {action.name} is to have {address}, which {vm.name} (VM {vm.vmid} on "
                    f"{vm.node}, {vm.status}) has: {_advice(vm, known)}"
                )
    return Shared(tuple(problems), tuple(notes))


def _new_addresses(action: Action) -> Iterator[tuple[str, str]]:
    for change in changes_of(action):
        for address in addresses_of(change.after):
            if address not in set(addresses_of(change.before)):
                yield change.key, address


def _holders(
    address: str, taker: Action, observed: Observed, actions: dict[int, Action]
) -> Iterator[ObservedVm]:
    for vm in observed.vms:
        if vm.vmid == taker.vmid or vm.template or TAG not in vm.tags or vm.config is None:
            continue
        has = {a for value in vm.config.ipconfigs().values() for a in addresses_of(value)}
        action = actions.get(vm.vmid)
        if address in has and not (action and address in freed_by(action)):
            yield vm


def _advice(vm: ObservedVm, known: dict[str, Definition]) -> str:
    if vm.name in known:
        return "let it give the address up first, in a plan without --limit or by a restart"
    return (
        "it is ours and has no definition, as after a renaming: --prune destroys it first, "
        "or give it its definition back"
    )
