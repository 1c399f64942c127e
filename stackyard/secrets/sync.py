"""What has to change in Vault so that it has what the files have. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from stackyard.secrets.tree import Entry, Place

Secret = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One secret's difference: the names of its keys, and what it is to be afterwards."""

    place: Place
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    after: Secret = field(repr=False)

    def __bool__(self) -> bool:
        """Tell whether there is any difference."""
        return bool(self.added or self.changed or self.removed)


def desired(entries: Iterable[Entry]) -> dict[Place, dict[str, str]]:
    """Return the secrets that entries define; each key must be defined once."""
    secrets: dict[Place, dict[str, str]] = {}
    for entry in entries:
        secrets.setdefault(entry.place, {})[entry.key] = entry.value
    return secrets


def plan(wanted: Mapping[Place, Secret], observed: Mapping[Place, Secret]) -> tuple[Change, ...]:
    """Return each secret's difference, by place; what is only observed is to be removed."""
    changes = (
        _change(place, wanted.get(place, {}), observed.get(place, {}))
        for place in sorted({*wanted, *observed})
    )
    return tuple(change for change in changes if change)


def without_removals(
    changes: Iterable[Change], observed: Mapping[Place, Secret]
) -> tuple[Change, ...]:
    """Return the changes without those that remove a key or a secret: what is there stays."""
    kept = (
        replace(change, removed=(), after={**observed.get(change.place, {}), **change.after})
        for change in changes
    )
    return tuple(change for change in kept if change)


def describe(changes: Iterable[Change]) -> Iterator[str]:
    """Yield a line for each key: `+` is added, `~` changes, `-` is in no file."""
    for change in changes:
        marks = (("+", change.added), ("~", change.changed), ("-", change.removed))
        for mark, keys in marks:
            for key in keys:
                yield f"{mark} {change.place} {key}"


def _change(place: Place, after: Secret, before: Secret) -> Change:
    return Change(
        place,
        tuple(key for key in after if key not in before),
        tuple(key for key in after if key in before and before[key] != after[key]),
        tuple(key for key in before if key not in after),
        after,
    )
