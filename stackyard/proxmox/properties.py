"""Property strings: `first,key=value,…`, the notation of most of Proxmox's device options."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from stackyard.definitions.keys import Key

_UNITS = {"K": 10, "M": 20, "G": 30, "T": 40}
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Codec:
    """How one kind of value is written, and read back."""

    write: Callable[[Any], str]
    read: Callable[[str], Any]


def parse(text: str, default_key: str) -> dict[str, str]:
    """Return the properties; one without a key belongs to `default_key`."""
    properties: dict[str, str] = {}
    for part in text.split(","):
        key, sign, value = part.partition("=")
        if sign:
            properties[key] = value
        elif part:
            properties[default_key] = part
    return properties


def render(first: str, properties: Mapping[str, str | None], keep: str = "") -> str:
    """Return the notation of `parse`; None is left out, `keep` is appended as it is."""
    named = [f"{key}={value}" for key, value in properties.items() if value is not None]
    return ",".join(part for part in [first, *named, keep] if part)


def as_flag(value: object) -> bool | None:
    """Read a boolean in any of the forms Proxmox has (qm.conf(5)); None stays None."""
    return None if value is None else str(value).lower() in ("1", "on", "yes", "true")


def number(value: float) -> str:
    """Return a number without an exponent."""
    return format(Decimal(str(value)).normalize(), "f")


def as_number(text: str) -> float:
    """Read a number; a whole one is an int."""
    value = float(text)
    return int(value) if value.is_integer() else value


def size(size_bytes: int) -> str:
    """Return a size with the largest unit that keeps it whole; without one it means bytes."""
    for unit in ("T", "G", "M", "K"):
        if size_bytes and size_bytes % (1 << _UNITS[unit]) == 0:
            return f"{size_bytes >> _UNITS[unit]}{unit}"
    return str(size_bytes)


def as_size(text: str) -> int:
    """Return the bytes of `8G`, `4.5G` or `8589934592`."""
    unit = _UNITS.get(text[-1:].upper(), 0)
    return int(Decimal(text[:-1] if unit else text) * (1 << unit))


def gib(size_bytes: int) -> str:
    """Return GiB without a unit, exactly: how a new volume is asked for (`local-lvm:8`)."""
    with localcontext(prec=60):
        return format((Decimal(size_bytes) / _GIB).normalize(), "f")


def as_gib(text: str) -> int:
    """Return the bytes of a number of GiB."""
    with localcontext(prec=60):
        return int(Decimal(text) * _GIB)


# By type of a key in a definition.
CODECS: Mapping[str, Codec] = {
    "string": Codec(str, str),
    "ranges": Codec(str, str),
    "addresses": Codec(str, str),
    "integer": Codec(str, int),
    "number": Codec(number, as_number),
    "switch": Codec(lambda value: str(int(value)), as_flag),
    "list": Codec(";".join, lambda text: tuple(text.split(";"))),
}


class Fields:
    """Some keys of a definition, as the fields of a value and as the options of a property string.

    Made once for each table, since a fleet has thousands of values.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self._fields = {
            key.option or key.name: (key.attribute, CODECS[key.type])
            for key in keys
            if key.type in CODECS
        }

    def write(self, holder: object) -> dict[str, str | None]:
        """Return what an object's fields say, by Proxmox's names; None for one that is None."""
        values = {name: (getattr(holder, f), codec) for name, (f, codec) in self._fields.items()}
        return {
            name: None if value is None else codec.write(value)
            for name, (value, codec) in values.items()
        }

    def take(self, options: dict[str, str]) -> dict[str, Any]:
        """Take the keys' options out of `options`; return the fields that are among them."""
        taken: dict[str, Any] = {}
        for name in [name for name in options if name in self._fields]:
            field, codec = self._fields[name]
            taken[field] = codec.read(options.pop(name))
        return taken
