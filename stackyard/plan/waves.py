"""Which actions may run side by side: what one VM frees and another takes is freed first.

Freed and taken are addresses and VMIDs; a template is there before its clones, and goes after them.
"""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from stackyard.definitions.model import IpConfig
from stackyard.plan.observed import kept_addresses
from stackyard.plan.values import Action, Change, Clone, Configure, Create, Value


def in_waves(actions: Sequence[Action]) -> tuple[tuple[Action, ...], ...]:
    """Order actions in waves; VMs that exchange addresses in a circle share the last one."""
    waves: list[tuple[Action, ...]] = []
    rest = list(actions)
    while rest:
        ready = [a for a in rest if not any(waits_for(a, b) for b in rest if b is not a)]
        wave = tuple(ready or rest)
        waves.append(wave)
        rest = [action for action in rest if action not in wave]
    return tuple(waves)


def waits_for(action: Action, other: Action) -> bool:
    """Tell whether an action can only begin when the other one has succeeded."""
    return (
        bool(taken_by(action) & freed_by(other))
        or _takes_vmid(action, other)
        or _needs_template(action, other)
    )


def _takes_vmid(action: Action, other: Action) -> bool:
    return action.verb == "create" and other.verb == "destroy" and action.vmid == other.vmid


def _needs_template(action: Action, other: Action) -> bool:
    """A template is as it is going to be before it is cloned, and goes after that."""
    if action.verb == "destroy":
        return (action.vmid, action.name) in _cloned(other)
    return other.verb != "destroy" and (other.vmid, other.name) in _cloned(action)


def _cloned(action: Action) -> set[tuple[int, str]]:
    """Return VMID and name of what is cloned: a template may get the VMID that another gives up."""
    steps = (step for step in action.steps if isinstance(step, Clone))
    return {(step.template_vmid, step.template) for step in steps}


def taken_by(action: Action) -> set[str]:
    """Return the fixed addresses that an action gives to its VM."""
    return {a for change in changes_of(action) for a in addresses_of(change.after)}


def freed_by(action: Action) -> set[str]:
    """Return the fixed addresses that nobody has any more once an action is done.

    One that its guest keeps, since nobody may restart it, is not among them.
    """
    freed = set(action.frees)
    if action.verb == "update":  # what a template had is nobody's
        given_up = (change for change in changes_of(action) if change.when != "held")
        freed = {a for change in given_up for a in addresses_of(change.before)}
        tags = (change for change in changes_of(action) if change.key == "tags")
        freed |= {a for c in tags for a in kept_addresses(c.before) - kept_addresses(c.after)}
    return freed - taken_by(action)


def changes_of(action: Action) -> Iterator[Change]:
    """Return the changes of the configuration that an action makes."""
    for step in action.steps:
        if isinstance(step, Configure | Create):
            yield from step.changes


def addresses_of(value: Value) -> Iterator[str]:
    """Return the fixed addresses of a cloud-init configuration, without their prefixes.

    One of IPv6 has many spellings, here always the same one.
    """
    if isinstance(value, IpConfig):
        for address in (value.ip, value.ip6):
            if address and "/" in address:
                yield str(ip_address(address.partition("/")[0]))
