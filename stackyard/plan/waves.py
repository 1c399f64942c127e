"""Which actions may run side by side: an address is freed before another VM takes it."""

from collections.abc import Iterator, Sequence

from stackyard.definitions.model import IpConfig
from stackyard.plan.values import Action, Change, Configure, Create, Value


def in_waves(actions: Sequence[Action]) -> tuple[tuple[Action, ...], ...]:
    """Order actions in waves; VMs that exchange addresses in a circle share the last one."""
    waves: list[tuple[Action, ...]] = []
    rest = list(actions)
    while rest:
        ready = [a for a in rest if not any(_waits_for(a, b) for b in rest if b is not a)]
        wave = tuple(ready or rest)
        waves.append(wave)
        rest = [action for action in rest if action not in wave]
    return tuple(waves)


def _waits_for(action: Action, other: Action) -> bool:
    return bool(_taken(action) & (_freed(other) - _taken(other)))


def _taken(action: Action) -> set[str]:
    return {a for change in _changes(action) for a in _addresses(change.after)}


def _freed(action: Action) -> set[str]:
    if action.verb == "create":  # what a template had is nobody's
        return set()
    return {a for change in _changes(action) for a in _addresses(change.before)}


def _changes(action: Action) -> Iterator[Change]:
    for step in action.steps:
        if isinstance(step, Configure | Create):
            yield from step.changes


def _addresses(value: Value) -> Iterator[str]:
    if isinstance(value, IpConfig):
        for address in (value.ip, value.ip6):
            if address and "/" in address:
                yield address.partition("/")[0]
