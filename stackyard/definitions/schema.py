"""The table of keys as a JSON Schema for editors."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from stackyard.definitions.availability import HA
from stackyard.definitions.device_keys import FAMILIES, SERIAL_KEY, Family
from stackyard.definitions.disks import BUSES
from stackyard.definitions.keys import (
    DISK_KEYS,
    FILE_KEY,
    FLAT_DISK_KEYS,
    ISO_KEY,
    NIC_KEYS,
    REQUIRED,
    SLOT,
    VM_KEYS,
    Key,
)
from stackyard.definitions.vm_reader import NUMBERED

TEXTS: dict[str, Any] = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
}
TYPES: dict[str, Any] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "switch": {"enum": [True, False, 0, 1]},
    "map": {"type": "object"},
    "addresses": TEXTS,
    "ranges": {"type": ["string", "integer"]},
}
# A key that is null is left out, or takes back what the defaults say.
OR_NULL = {"type": ["object", "null"]}
REFERENCE = (Key("env", "string", "An environment variable.", REQUIRED),)
VAULT_REFERENCE = (
    Key(
        "vault", "string", "A secret's key in Vault, as kv/path#KEY.", REQUIRED, pattern=".+/.+#.+"
    ),
)


def json_schema(nodes: Iterable[str] = ()) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one definition file, for a site with these nodes.

    Without nodes a VM may be on any.
    """
    schema = _object(VM_KEYS)
    if names := sorted(nodes):
        schema["properties"]["target_node"] |= {"enum": names}
    schema["properties"] |= {
        "disks": {"type": ["array", "null"], "items": _object(FLAT_DISK_KEYS)},
        "nested_disks": _nested(),
        "network": _object(NIC_KEYS) | OR_NULL,
        "networks": {"type": ["array", "null"], "items": _object(NIC_KEYS)},
    }
    schema["properties"] |= {f.name: _device(f) for f in (*FAMILIES, HA) if not f.count}
    schema["patternProperties"] = {
        f"^{NUMBERED}$": {
            "type": ["string", "null"],
            "pattern": "^(ip6?|gw6?)=",
        },
        "^serial[0-3]$": _property(SERIAL_KEY),
        **{_numbered(family): _device(family) for family in FAMILIES if family.count},
    }
    # _defaults.yaml may give every key but the name.
    schema["required"] = ["name"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A VM definition of stackyard",
        **schema,
    }


def _numbered(family: Family) -> str:
    return f"^{family.name}({'|'.join(str(number) for number in range(family.count))})$"


def _device(family: Family) -> dict[str, Any]:
    forms = [_object(family.keys), {"type": "null"}]
    if family.first:
        first = next(key for key in family.keys if key.name == family.first)
        forms.insert(1, _rules(first))
    return {"description": family.help, "anyOf": forms}


def _object(keys: Iterable[Key]) -> dict[str, Any]:
    keys = tuple(keys)
    required = [key.name for key in keys if key.default is REQUIRED]
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {key.name: _property(key) for key in keys},
    }
    return schema | ({"required": required} if required else {})


def _property(key: Key) -> dict[str, Any]:
    rules = _rules(key)
    if key.default is not REQUIRED:
        rules = {"anyOf": [rules, {"type": "null"}]}
        if key.default not in (None, ()):
            rules["default"] = key.default
    return {"description": key.help, **rules}


def _rules(key: Key) -> dict[str, Any]:
    if key.type == "keys":
        return {"anyOf": [*TEXTS["anyOf"], _object(REFERENCE)]}
    if key.type == "secret":
        return {"anyOf": [_object(REFERENCE), _object(VAULT_REFERENCE)]}
    if key.type == "list":
        item = _rules(replace(key, type="string"))
        return {"anyOf": [item, {"type": "array", "items": item}]}
    rules: dict[str, Any] = dict(TYPES[key.type])
    if key.type in ("addresses", "ranges"):
        return rules
    if key.choices:
        numbers = [int(choice) for choice in key.choices if choice.isdecimal()]
        return {"enum": [*key.choices, *numbers]}
    bounds = {"minimum": key.minimum, "maximum": key.maximum, "maxLength": key.longest}
    rules |= {name: bound for name, bound in bounds.items() if bound is not None}
    return rules | ({"pattern": f"^({key.pattern})$"} if key.pattern else {})


def _nested() -> dict[str, Any]:
    media = {
        "disk": _object(DISK_KEYS),
        "cloudinit": _object(DISK_KEYS),
        "cdrom": _object((ISO_KEY, *DISK_KEYS)),
        "passthrough": _object((FILE_KEY, *DISK_KEYS)),
    }
    content = {**OR_NULL, "minProperties": 1, "maxProperties": 1, "properties": media}
    slots = {
        **OR_NULL,
        "additionalProperties": False,
        "patternProperties": {f"^{SLOT}$": content | {"additionalProperties": False}},
    }
    return {
        **OR_NULL,
        "additionalProperties": False,
        "properties": dict.fromkeys(BUSES, slots),
    }
