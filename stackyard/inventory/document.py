"""An inventory as one JSON text and back, for caches; with the digest of what it was made from.

The digest covers every byte that decides the result, this package's code too, so that a cache that
is asked with it can never answer with yesterday's hosts.
"""

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any

from stackyard.definitions.files import Files
from stackyard.inventory.model import Group, Host, Inventory

DATE = "__ansible_date"  # no definition has such a key
PACKAGE = Path(__file__).parents[1]
SOURCES = ("definitions", "inventory")


def digest(files: Files, known_hosts: Path) -> str | None:
    """Return the digest of a folder's definitions; None where something in it cannot be read."""
    if files.problems:
        return None
    found = hashlib.sha256(f"{files.folder}\0{known_hosts}\0".encode())
    sources = sorted(path for room in SOURCES for path in (PACKAGE / room).glob("*.py"))
    try:
        own = {path: path.read_bytes() for path in sources}
    except OSError:
        return None
    for path, data in (own | dict(files.data)).items():
        text = data or b""  # without a problem there is none that could not be read
        found.update(f"{path.name}\0{len(text)}\0".encode())
        found.update(text)
    return found.hexdigest()


def to_json(inventory: Inventory) -> str:
    """Return the inventory as JSON, with dates marked."""
    hosts = [(h.name, h.address, h.variables, h.groups) for h in inventory.hosts.values()]
    groups = [(g.name, g.hosts, g.children, g.variables) for g in inventory.groups.values()]
    document = (hosts, groups, inventory.variables)
    return json.dumps(document, ensure_ascii=False, default=_marked)


def from_json(text: str) -> Inventory:
    """Return the inventory that `to_json` was given."""
    hosts, groups, variables = json.loads(text, object_hook=_unmarked)
    return Inventory(
        {name: Host(name, address, own, tuple(of)) for name, address, own, of in hosts},
        {
            name: Group(name, tuple(members), tuple(children), own)
            for name, members, children, own in groups
        },
        variables,
    )


def _marked(value: dt.date) -> dict[str, str]:
    return {DATE: value.isoformat()}


def _unmarked(document: dict[str, Any]) -> Any:
    if DATE not in document:
        return document
    text = document[DATE]
    kind = dt.datetime if "T" in text else dt.date
    return kind.fromisoformat(text)
