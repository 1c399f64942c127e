"""One value as its key in the table takes it, by type, or why it does not."""

import difflib
import ipaddress
import math
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from stackyard.definitions.document import Mapping, is_utf8
from stackyard.definitions.keys import Key
from stackyard.definitions.model import Reference, VaultReference

ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PUBLIC_KEY = re.compile(r"(ssh-|ecdsa-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/=]+( .*)?")
VAULT_PLACE = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+#[A-Za-z0-9_.-]+")
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
MEMORY = re.compile(r"([0-9]{1,9}) ?([MGT])i?B?", re.ASCII | re.IGNORECASE)
UNPRINTABLE = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f\\ud800-\\udfff]")
ANSIBLES_OWN = "__ansible_"  # its JSON marks secrets, data and types by such keys
LONGEST_QUOTE = 60  # characters


class BadValueError(ValueError):
    """A value that its key does not take; the text says what the key takes."""


def shown(value: Any) -> str:
    """Return a value as a sentence may quote it: short, on one line."""
    text = repr(dict(value) if isinstance(value, Mapping) else value)
    return text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + "…"


def _string(value: Any, key: Key) -> str:
    if not isinstance(value, str):
        if type(value) is int and str(value) in key.choices:  # true is no 1
            return str(value)
        raise BadValueError(_no_text(value, key))
    if UNPRINTABLE.search(value):
        raise BadValueError("has a control character in it")
    if not key.lines and "\n" in value:
        raise BadValueError(f"must be one line, not {shown(value)}")
    if key.longest is not None and len(value) > key.longest:
        raise BadValueError(f"must have at most {key.longest} characters, not {len(value)}")
    if key.choices and value not in key.choices:
        on = f"+{value}"  # a flag without a sign
        near = [on] if on in key.choices else difflib.get_close_matches(value, key.choices, n=1)
        hint = f", did you mean {near[0]}?" if near else ""
        raise BadValueError(f"must be one of {', '.join(key.choices)}, not {shown(value)}{hint}")
    if key.pattern and not _compiled(key.pattern).fullmatch(value):
        raise BadValueError(f"must be {key.form}, not {shown(value)}")
    return value


def _no_text(value: Any, key: Key) -> str:
    """Say what a key takes instead of a number or a switch: quotes do not help each of them."""
    if key.choices:
        return f"must be one of {', '.join(key.choices)}, not {shown(value)}"
    wanted = f"must be {key.form or 'a text'}, not {shown(value)}"
    if value is None or isinstance(value, list | dict):
        return wanted
    if written := _as_hex(value, key):
        return f"must be a text, not a number: put {written} in quotes"
    return f"{wanted}: put it in quotes{' if it is one' if key.form else ''}"


def _as_hex(value: Any, key: Key) -> str | None:
    """Return a number as it stood in the file, where only a hexadecimal one can be meant."""
    if type(value) is not int or not key.pattern or _compiled(key.pattern).fullmatch(str(value)):
        return None
    text = f"{value:#06x}"
    return text if _compiled(key.pattern).fullmatch(text) else None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Return one of the table's patterns; the cache of `re` itself does more for each value."""
    return re.compile(pattern, re.ASCII)


def _integer(value: Any, key: Key) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        hint = _unquoted(value) or _in_mib(value, key)
        raise BadValueError(f"must be a whole number, not {shown(value)}{hint}")
    _check_range(value, key)
    return value


def _number(value: Any, key: Key) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadValueError(f"must be a number, not {shown(value)}{_unquoted(value)}")
    _check_range(value, key)
    return value


def _unquoted(value: Any) -> str:
    is_number = isinstance(value, str) and NUMBER.fullmatch(value)
    return ": write it without quotes" if is_number else ""


def _in_mib(value: Any, key: Key) -> str:
    """Say how much memory is written that has a unit: a number without one may be of any."""
    is_memory = isinstance(value, str) and key.attribute.endswith("_mib")
    size = MEMORY.fullmatch(value) if is_memory else None
    if size is None:
        return ""
    return f": it is in MiB, write {int(size[1]) * 1024 ** 'MGT'.index(size[2].upper())}"


def _check_range(value: float, key: Key) -> None:
    if key.minimum is not None and value < key.minimum:
        raise BadValueError(f"must be at least {key.minimum}, not {value}")
    if key.maximum is not None and value > key.maximum:
        raise BadValueError(f"must be at most {key.maximum}, not {value}")


def _ranges(value: Any, key: Key) -> str:
    """Check numbers and ranges of them, with the key's own separator between."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise BadValueError(f"must be {key.form}, not {shown(value)}")
    for part in text.split(key.pattern):
        match = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", part)
        if not match or (match[2] and int(match[2]) < int(match[1])):
            raise BadValueError(f"must be {key.form}, not {shown(value)}")
        for number in filter(None, match.groups()):
            _check_range(int(number), key)
    return text


def _addresses(value: Any, _key: Key) -> str:
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, str) for item in items):
        raise BadValueError(f"must be IP addresses, not {shown(value)}")
    found = [part for item in items for part in re.split(r"[ ,;]+", item) if part]
    for part in found or [""]:
        if not is_address(part):
            raise BadValueError(f"must be IP addresses, not {shown(part)}")
    return value if isinstance(value, str) else " ".join(found)


def is_address(text: str) -> bool:
    """Tell whether a text is an IP address, without a zone."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _boolean(value: Any, _key: Key) -> bool:
    if not isinstance(value, bool):
        raise BadValueError(f"must be true or false, not {shown(value)}")
    return value


def _switch(value: Any, _key: Key) -> bool:
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise BadValueError(f"must be true or false (or 1 or 0), not {shown(value)}")


def _list(value: Any, key: Key) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if isinstance(value, str) and re.search("[,;]", value):
        parts = list(filter(None, re.split("[,; ]+", value)))
        written = f", as [{', '.join(parts)}]" if parts and len(value) <= LONGEST_QUOTE else ""
        raise BadValueError(f"must be a list{written}, not {shown(value)}")
    if not isinstance(items, list):
        raise BadValueError(f"must be a list, not {shown(value)}")
    return tuple(_string(item, key) for item in items)


def _map(value: Any, _key: Key) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise BadValueError(f"must be a mapping, not {shown(value)}")
    if taken := next((name for name in _names(value) if name.startswith(ANSIBLES_OWN)), None):
        raise BadValueError(f"has the key {taken}, which means something else to Ansible")
    return {name: plain(item) for name, item in value.items()}


def _names(value: Any) -> Iterator[str]:
    """Yield the keys of every mapping in a value."""
    if isinstance(value, dict | list):
        yield from value if isinstance(value, dict) else ()
        for item in value.values() if isinstance(value, dict) else value:
            yield from _names(item)


def plain(value: Any) -> Any:
    """Return the value as ordinary dicts and lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def _reference(value: Mapping) -> Reference | None:
    name = value.get("env")
    named = isinstance(name, str) and ENVIRONMENT_NAME.fullmatch(name)
    return Reference(str(name)) if set(value) == {"env"} and named else None


def _secret(value: Any, _key: Key) -> Reference | VaultReference:
    reference = _secret_reference(value) if isinstance(value, Mapping) else None
    if reference is None:  # the value is not quoted: it may be the secret
        raise BadValueError(
            "is a secret in clear text: never put one into a definition, but where it is, as "
            "{env: NAME} or {vault: MOUNT/PATH#KEY}"
        )
    return reference


def _secret_reference(value: Mapping) -> Reference | VaultReference | None:
    place = value.get("vault")
    if set(value) == {"vault"} and isinstance(place, str) and VAULT_PLACE.fullmatch(place):
        return VaultReference(place)
    return _reference(value)


def _keys(value: Any, _key: Key) -> str | Reference:
    if isinstance(value, Mapping):
        reference = _reference(value)
        if reference is None:
            raise BadValueError("must be keys, or {env: NAME} for keys in an environment variable")
        return reference
    lines = value.splitlines() if isinstance(value, str) else value
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise BadValueError("must be a text or a list of texts, one public key each")
    return public_keys(lines)


def public_keys(lines: Iterable[str]) -> str:
    """Return ssh keys, one a line, without what surrounds them.

    Raises:
        BadValueError: a line is something else; the sentence does not repeat it.
    """
    keys = [line.strip() for line in lines if line.strip()]
    for number, line in enumerate(keys, 1):
        if "PRIVATE KEY" in line:
            raise BadValueError("holds a private key: only public keys belong here")
        if not PUBLIC_KEY.fullmatch(line):
            raise BadValueError(f"has no public ssh key in its line {number}")
        if not is_utf8(line):
            raise BadValueError(f"is not UTF-8 text in its line {number}")
    return "\n".join(keys)


CHECKS: dict[str, Callable[[Any, Key], Any]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "switch": _switch,
    "list": _list,
    "map": _map,
    "keys": _keys,
    "secret": _secret,
    "addresses": _addresses,
    "ranges": _ranges,
}
