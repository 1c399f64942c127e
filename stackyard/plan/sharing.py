"""Addresses that a plan gives to a VM while another VM of ours goes on using them.

Definitions cannot share an address: that is checked before. What is there can have one all the
same: a VM whose definition was renamed, one outside the limit, one that keeps its address until
somebody restarts it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stackyard.definitions.model import Definition
from stackyard.plan.availability import power_of
from stackyard.plan.destroy import is_protected
from stackyard.plan.differ import extra_network
from stackyard.plan.observed import TAG, Config, Observed, ObservedVm
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
            for vm, held in _holders(address, action, observed, actions):
                (problems if vm.status == "running" else notes).append(
                    f"{at}: {action.name} is to have {address}, which {vm.name} (VM {vm.vmid} on "
                    f"{vm.node}, {vm.status}) has: {_advice(vm, held, known)}"
                )
    return Shared(tuple(problems), tuple(notes))


def _new_addresses(action: Action) -> Iterator[tuple[str, str]]:
    for change in changes_of(action):
        for address in addresses_of(change.after):
            if address not in set(addresses_of(change.before)):
                yield change.key, address


def _holders(
    address: str, taker: Action, observed: Observed, actions: dict[int, Action]
) -> Iterator[tuple[ObservedVm, str]]:
    """Yield the VMs that go on using an address, each with the key that gives it to them.

    A guest that keeps one until it restarts has no such key.
    """
    for vm in observed.vms:
        if vm.vmid == taker.vmid or vm.template or TAG not in vm.tags or vm.config is None:
            continue
        action = actions.get(vm.vmid)
        if action and address in freed_by(action):
            continue
        ipconfigs = vm.config.ipconfigs().items()
        yield from ((vm, key) for key, value in ipconfigs if address in addresses_of(value))
        if address in vm.kept_addresses:
            yield vm, ""


def _advice(vm: ObservedVm, key: str, known: dict[str, Definition]) -> str:
    if not key:
        return f"it keeps that until it restarts: restart {vm.name} first"
    definition = known.get(vm.name or "")
    if definition:
        return _advice_on_defined(definition, vm, key)
    back = "it is ours and has no definition, as after a renaming: rename it or its definition back"
    if is_protected(vm):
        return f"{back}, or take its protection off in Proxmox and destroy it"
    return f"{back}, or `stackyard destroy {vm.name}` removes it with its disks"


def _advice_on_defined(definition: Definition, vm: ObservedVm, key: str) -> str:
    name = definition.name
    if not definition.managed:
        return f"it is not managed: take {key} off it in Proxmox first, or choose another address"
    stays = vm.status == "running" and power_of(definition) != "stopped"
    restart = f", then restart {name}" if stays and not definition.automatic_reboot else ""
    if key in extra_network(definition, vm.config or Config()):
        return f"`stackyard apply --detach --limit {name}` takes {key} off first{restart}"
    if not definition.ipconfigs:
        return f"its definition says nothing of addresses: give it an {key} of its own there"
    return f"`stackyard apply --limit {name}` lets it give the address up first{restart}"
