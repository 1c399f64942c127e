"""Which values of a tree differ: SOPS encrypts just these anew. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stackyard.stores.protocol import StoreError

Keys = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A value, as JSON, that the keys shall lead to; None removes what they lead to."""

    keys: Keys
    value: str | None = field(repr=False)

    @property
    def index(self) -> str:
        """The keys as `sops set` takes them, which knows no escapes."""
        return "".join(f"[{json.dumps(key, ensure_ascii=False)}]" for key in self.keys)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return what makes one tree of the other, in the order in which it must be done.

    Raises:
        StoreError: a key or a value is of a kind that SOPS cannot set.
    """
    return list(_mapping((), before, after))


def nested(changes: Iterable[Change]) -> dict[str, Any]:
    """Return a new tree of values that no list holds."""
    tree: dict[str, Any] = {}
    for change in changes:
        if change.value is not None:
            *above, last = (str(key) for key in change.keys)
            branch = tree
            for key in above:
                branch = branch.setdefault(key, {})
            branch[last] = json.loads(change.value)
    return tree


def checked(key: object) -> str:
    """Return a key that `sops set` can name.

    Raises:
        StoreError: it is no text, or has a quote, a bracket or a backslash in it.
    """
    if not isinstance(key, str) or not key.isprintable() or not key or set(key) & set('"[]\\'):
        raise StoreError(f"the key {key} cannot be set by sops: use letters, digits, - and _")
    return key


def as_json(value: object, keys: Keys) -> str:
    """Return a value as JSON, which tells 1 from true and from 1.0.

    Raises:
        StoreError: JSON has no such value.
    """
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        where = ".".join(str(key) for key in keys)
        raise StoreError(f"{where} is neither text, number, list nor mapping: quote it") from None


def _mapping(keys: Keys, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for key in before:
        if key not in after:
            yield Change((*keys, checked(key)), None)
    for key, value in after.items():
        if key in before and _same(before[key], value):
            continue
        below = (*keys, checked(key))
        yield from _value(below, before[key], value) if key in before else _new(below, value)


def _same(old: object, value: object) -> bool:
    """Compare as JSON does, and what JSON has not, such as a date without quotes, as it stands."""
    one, other = (json.dumps(each, default=repr) for each in (old, value))
    return one == other


def _value(keys: Keys, old: object, value: object) -> Iterator[Change]:
    if isinstance(old, Mapping) and isinstance(value, Mapping) and value:
        yield from _mapping(keys, old, value)
    else:
        yield from _new(keys, value)


def _new(keys: Keys, value: object) -> Iterator[Change]:
    """Set a value whatever was there; `sops set` takes no list, but the items of one.

    A list is set as a whole: SOPS counts comments among its items, so that an index may be another.
    """
    if not isinstance(value, list):
        yield Change(keys, as_json(value, keys))
        return
    yield Change(keys, "{}")
    yield Change(keys, None)
    yield Change((*keys, 0), "null")
    for number, item in enumerate(value):
        yield from _new((*keys, number), item)
    if not value:
        yield Change((*keys, 0), None)
