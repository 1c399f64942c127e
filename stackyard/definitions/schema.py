"""The table of keys as a JSON Schema for editors, and as the reference in docs/."""

from collections.abc import Iterable
from typing import Any

from stackyard.definitions.keys import (
    DISK_KEYS,
    FLAT_DISK_KEYS,
    NIC_KEYS,
    REQUIRED,
    SLOT,
    VM_KEYS,
    Key,
)

BUSES = ("scsi", "virtio", "sata", "ide")
FILE = Key("file", "string", "The device's path.", REQUIRED)
ISO = Key("iso", "string", "The image, as `local:iso/talos.iso`.", REQUIRED)
SHAPES = (
    ("disks", "Disks as a list, see below."),
    ("nested_disks", "Disks by controller and slot, see below."),
    ("network", "The only network card, see below."),
    ("networks", "Several network cards: net0, net1 …"),
    ("ipconfig0", "Addresses of net0, as `ip=192.168.1.20/24,gw=192.168.1.1`; to `ipconfig31`."),
)
TYPES: dict[str, Any] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "switch": {"enum": [True, False, 0, 1]},
    "map": {"type": "object"},
}


VALUES = {
    "keys": "keys",
    "map": "a mapping",
    "switch": "true, false",
    "boolean": "true, false",
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one definition file."""
    schema = _object(VM_KEYS)
    schema["properties"] |= {
        "disks": {"type": "array", "items": _object(FLAT_DISK_KEYS)},
        "nested_disks": _nested(),
        "network": _object(NIC_KEYS),
        "networks": {"type": "array", "items": _object(NIC_KEYS)},
    }
    schema["patternProperties"] = {
        "^ipconfig([12]?[0-9]|3[01])$": {"type": "string", "pattern": "^(ip6?|gw6?)="}
    }
    # _defaults.yaml may give every key but the name.
    schema["required"] = ["name"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A VM definition of stackyard",
        **schema,
    }


INTRODUCTION = """\
# VM definitions

One file a VM in `vms/`, named as you like, ending in `.yaml`. What all VMs share stands in
`vms/_defaults.yaml`; a VM's own key replaces it. `null` is the same as leaving a key out. This page
is made from the table that checks the files (`stackyard schema --markdown`); `stackyard schema`
prints a JSON Schema for editors.

## Keys of a VM

"""
DISKS = """
## A disk in `disks`

```yaml
disks:
  - {slot: scsi0, storage: local-lvm, size: 50G}
  - {slot: ide1, type: cloudinit, storage: local-lvm}
  - {slot: ide2, type: cdrom, iso: "local:iso/talos.iso"}
```

"""
NESTED = """
## A disk in `nested_disks`

The same by controller and slot, each holding one of `disk`, `cloudinit`, `cdrom` (with `iso`) or
`passthrough` (with `file`). A file may have both forms where they describe the same disks.

```yaml
nested_disks:
  scsi:
    scsi0: {disk: {storage: local-lvm, size: 50G}}
  ide:
    ide1: {cloudinit: {storage: local-lvm}}
```

## A network card in `network` and `networks`

"""


def reference() -> str:
    """Return the reference of all keys as Markdown."""
    tables = (_table(VM_KEYS, SHAPES), _table(FLAT_DISK_KEYS), _table(NIC_KEYS))
    texts = (INTRODUCTION, DISKS, NESTED)
    return "".join(text + table for text, table in zip(texts, tables, strict=True))


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
    rules: dict[str, Any] = dict(TYPES.get(key.type, {}))
    if key.minimum is not None:
        rules["minimum"] = key.minimum
    if key.maximum is not None:
        rules["maximum"] = key.maximum
    if key.pattern:
        rules["pattern"] = f"^({key.pattern})$"
    if key.choices:
        rules = {"enum": list(key.choices)}
    if key.type == "list":
        rules = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    elif key.type == "keys":
        rules = {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}},
                _object([Key("env", "string", "An environment variable.", REQUIRED)]),
            ]
        }
    if key.default is not REQUIRED:
        rules = {"anyOf": [rules, {"type": "null"}]}
        if key.default not in (None, ()):
            rules["default"] = key.default
    return {"description": key.help, **rules}


def _nested() -> dict[str, Any]:
    media = {
        "disk": _object(DISK_KEYS),
        "cloudinit": _object(DISK_KEYS),
        "cdrom": _object((ISO, *DISK_KEYS)),
        "passthrough": _object((FILE, *DISK_KEYS)),
    }
    content = {"type": "object", "minProperties": 1, "maxProperties": 1, "properties": media}
    slots = {
        "type": "object",
        "additionalProperties": False,
        "patternProperties": {f"^{SLOT}$": content | {"additionalProperties": False}},
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": dict.fromkeys(BUSES, slots),
    }


def _table(keys: Iterable[Key], shapes: Iterable[tuple[str, str]] = ()) -> str:
    rows = ["| key | value | default | |", "|---|---|---|---|"]
    rows += [f"| `{k.name}` | {_values(k)} | {_default(k)} | {k.help} |" for k in keys]
    rows += [f"| `{name}` | | | {text} |" for name, text in shapes]
    return "\n".join(rows) + "\n"


def _values(key: Key) -> str:
    if key.choices:
        return ", ".join(f"`{choice}`" for choice in key.choices)
    if key.form:
        return key.form if key.type != "list" else f"a list; each {key.form}"
    if key.minimum is not None:
        top = f" to {key.maximum}" if key.maximum is not None else " or more"
        return f"{key.minimum}{top}"
    return VALUES.get(key.type, "a text")


def _default(key: Key) -> str:
    if key.default is REQUIRED:
        return "*required*"
    if key.default in (None, ()):
        return ""
    return f"`{str(key.default).lower() if isinstance(key.default, bool) else key.default}`"
