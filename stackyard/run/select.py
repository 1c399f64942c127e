"""Which hosts to wait for: the running ones of those asked for, and why not the others."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

from stackyard.definitions.model import Definition
from stackyard.inventory import Inventory
from stackyard.inventory.build import SSH_PORT
from stackyard.plan import UNCONFIGURED, Observed, ObservedVm
from stackyard.routing import members, unfit
from stackyard.run.errors import RunError
from stackyard.run.target import Target

_PORT = re.compile("[1-9][0-9]{0,4}")
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Selection:
    """The hosts to wait for, and by name why a host that should be one of them is not."""

    targets: tuple[Target, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)


def select_targets(
    definitions: Iterable[Definition],
    inventory: Inventory,
    observed: Observed,
    names: Collection[str] | None = None,
) -> Selection:
    """Select the VMs of these names, or every VM that is to run.

    Who is not to run, or has no ssh, is left out in silence unless it was named.
    """
    targets: list[Target] = []
    missing: dict[str, str] = {}
    for definition in definitions:
        name = definition.name
        if names is not None and name not in names:
            continue
        reason = unfit(definition)
        if not reason and name in members(inventory, "talos"):
            reason = "it runs Talos, which has no ssh"
        vm = None if reason else next(iter(observed.ours(name)), None)
        if reason:
            if names is not None:
                missing[name] = reason
        elif vm is None or vm in observed.away:
            missing[name] = _out_of_sight(vm, observed)
        elif vm.status == "running":
            try:
                targets.append(_target(definition, inventory, vm))
            except ValueError as error:
                missing[name] = str(error)
        elif names is not None or definition.vm_state == "running":
            missing[name] = "it is stopped: run `stackyard apply`, or start it"
    return Selection(tuple(targets), missing)


def _out_of_sight(vm: ObservedVm | None, observed: Observed) -> str:
    """Tell why nothing is known of a VM; of those on a node that is away even the name may lack."""
    if vm:
        return f"it is on {vm.node}, which does not answer: bring that up first"
    away = sorted(node for node, answers in observed.nodes.items() if not answers)
    if away:
        return f"it is not on the nodes that answered ({', '.join(away)} did not)"
    return "it is not there: run `stackyard apply`"


def _target(definition: Definition, inventory: Inventory, vm: ObservedVm) -> Target:
    """Take from the inventory what Ansible takes: without ansible_host the name itself.

    Raises:
        ValueError: its port is none.
    """
    variables = inventory.hosts[definition.name].variables
    user = variables.get("ansible_user")
    return Target(
        name=definition.name,
        address=str(variables.get("ansible_host", definition.name)),
        node=vm.node,
        vmid=vm.vmid,
        user=str(user) if user else None,
        port=_port(variables.get("ansible_port", SSH_PORT)),
        has_agent=definition.agent,
        is_fresh=UNCONFIGURED in vm.tags,
    )


def _port(given: object) -> int:
    """Read a port; Ansible would also take a template, which nobody but itself can fill in."""
    text = str(given)
    if _PORT.fullmatch(text) is None or int(text) > _HIGHEST_PORT:
        raise ValueError(f"its ansible_port is {given!a}: give a number from 1 to {_HIGHEST_PORT}")
    return int(text)


def check_names(names: Iterable[str], definitions: Iterable[Definition]) -> None:
    """Refuse names that no definition has.

    Raises:
        RunError: with the nearest name there is.
    """
    known = sorted(definition.name for definition in definitions)
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f": did you mean {close[0]}?" if close else ", see vms/"
            raise RunError(f"there is no VM {name!a}{hint}")
