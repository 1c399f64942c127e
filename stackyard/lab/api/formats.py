"""Checks a value against a rule, with the texts the real server refuses it with.

A rule is one row of the API's schema: type, range, enumeration, pattern, or a format. A format is
a function that says what is wrong, or a table of rules: a property string such as
`virtio,bridge=vmbr0`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Check = Callable[[str], str | None]

_INTEGER = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"
MISSING = "property is missing and it is not optional"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a value has to be like."""

    type: Literal["string", "integer", "number", "boolean", "array"] = "string"
    optional: bool = True
    minimum: int | None = None
    maximum: int | None = None
    max_length: int | None = None
    enum: tuple[str, ...] = ()
    pattern: str = ""
    format: "Check | Mapping[str, Rule] | None" = None
    default_key: bool = False
    alias: str = ""  # of another key; with key_alias, the key itself is that one's value
    key_alias: str = ""
    requires: str = ""


def wrong(value: str | list[str], rule: Rule, path: str) -> str | None:
    """Say what is wrong with a value, or None."""
    if isinstance(value, list):
        return None if rule.type == "array" else f"type check ('{rule.type}') failed - got ARRAY"
    if not _is(value, rule.type):
        return f"type check ('{rule.type}') failed - got '{value}'"
    problem = _wrong_format(value, rule, path)
    if problem:
        return f"invalid format - {problem}\n"
    return _wrong_shape(value, rule) or _wrong_range(value, rule)


def _is(value: str, kind: str) -> bool:
    match kind:
        case "integer":
            return bool(_INTEGER.fullmatch(value))
        case "number":
            return bool(_NUMBER.fullmatch(value))
        case "boolean":
            return value in ("0", "1")
    return True


def _wrong_format(value: str, rule: Rule, path: str) -> str | None:
    if rule.format is None:
        return None
    if isinstance(rule.format, Mapping):
        try:
            parse(value, rule.format, path)
        except FormatError as error:
            return str(error)
        return None
    return rule.format(value)


def _wrong_shape(value: str, rule: Rule) -> str | None:
    if rule.max_length is not None and len(value) > rule.max_length:
        return f"value may only be {rule.max_length} characters long"
    if rule.pattern and not re.fullmatch(rule.pattern, value):
        return "value does not match the regex pattern"
    if rule.enum and value not in rule.enum:
        return f"value '{value}' does not have a value in the enumeration '{', '.join(rule.enum)}'"
    return None


def _wrong_range(value: str, rule: Rule) -> str | None:
    if rule.minimum is not None and float(value) < rule.minimum:
        return f"value must have a minimum value of {rule.minimum}"
    if rule.maximum is not None and float(value) > rule.maximum:
        return f"value must have a maximum value of {rule.maximum}"
    return None


class FormatError(ValueError):
    """A property string that does not parse; the text is the server's, without its last newline."""


def split(text: str, table: Mapping[str, Rule]) -> dict[str, str]:
    """Take a property string apart, without checking its values.

    Raises:
        FormatError: it is no list of `key=value`, or names a key twice.
    """
    found: dict[str, str] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        key, equals, value = part.partition("=")
        if not equals:
            key, value = _default_key(table, found), part
        elif not key or not value:
            raise FormatError("missing key in comma-separated list property")
        elif key in found:
            raise FormatError(f"duplicate key in comma-separated list property: {key}")
        _put(found, key, value, table)
    return found


def _put(found: dict[str, str], key: str, value: str, table: Mapping[str, Rule]) -> None:
    rule = table.get(key)
    if rule and rule.alias:
        if rule.key_alias:
            if rule.key_alias in found:
                raise FormatError(f"key alias '{rule.key_alias}' is already defined")
            found[rule.key_alias] = key
        key = rule.alias
        rule = table.get(key)
    found[key] = _boolean(value) if rule and rule.type == "boolean" else value


def _boolean(value: str) -> str:
    if value.lower() in ("1", "on", "yes", "true"):
        return "1"
    return "0" if value.lower() in ("0", "off", "no", "false") else value


def _default_key(table: Mapping[str, Rule], found: Mapping[str, str]) -> str:
    key = next((name for name, rule in table.items() if rule.default_key), "")
    if not key:
        raise FormatError("value without key, but schema does not define a default key")
    if key in found:
        raise FormatError(f"duplicate key in comma-separated list property: {key}")
    return key


def parse(text: str, table: Mapping[str, Rule], path: str) -> dict[str, str]:
    """Take a property string apart and check each value; `path` is its name in error texts.

    Raises:
        FormatError: with the server's text, one line for each key that does not hold.
    """
    found = split(text, table)
    problems: list[str] = []
    for key in sorted(set(found) | {k for k, rule in table.items() if not rule.optional}):
        problem = _wrong_key(key, found, table, path)
        if problem:
            problems.append(f"{path}.{problem}")
    if problems:
        raise FormatError("\n".join(["format error", *problems]))
    return found


def _wrong_key(
    key: str, found: Mapping[str, str], table: Mapping[str, Rule], path: str
) -> str | None:
    rule = table.get(key)
    if rule is None:
        return f"{key}: {UNKNOWN}"
    if key not in found:
        return f"{key}: {MISSING}"
    if rule.requires and rule.requires not in found:
        return f"{rule.requires}: missing property required by '{path}.{key}'"
    problem = wrong(found[key], rule, f"{path}.{key}")
    return f"{key}: {problem}" if problem else None
