"""An inventory as one JSON text and back, for caches; with the digest of what it was made from.

The digest covers every byte that decides the result, this package's code too, so that a cache that
is asked with it can never answer with yesterday's hosts.
"""

import hashlib
import json
from pathlib import Path

from stackyard.definitions.files import list_files
from stackyard.inventory.model import Group, Host, Inventory

PACKAGE = Path(__file__).parents[1]
SOURCES = ("definitions", "inventory")


def digest(folder: Path, known_hosts: Path) -> str | None:
    """Return the digest of a folder's definitions; None where something in it cannot be read."""
    paths, problems = list_files(folder)
    if problems:
        return None
    found = hashlib.sha256(f"{folder}\0{known_hosts}\0".encode())
    sources = sorted(path for room in SOURCES for path in (PACKAGE / room).glob("*.py"))
    try:
        for path in (*sources, *paths):
            data = path.read_bytes()
            found.update(f"{path.name}\0{len(data)}\0".encode())
            found.update(data)
    except OSError:
        return None
    return found.hexdigest()


def to_json(inventory: Inventory) -> str:
    """Return the inventory as JSON.

    Raises:
        TypeError: a variable is no JSON value, a date say.
    """
    hosts = [(h.name, h.address, h.variables, h.groups) for h in inventory.hosts.values()]
    groups = [(g.name, g.hosts, g.children, g.variables) for g in inventory.groups.values()]
    return json.dumps((hosts, groups, inventory.variables), ensure_ascii=False)


def from_json(text: str) -> Inventory:
    """Return the inventory that `to_json` was given."""
    hosts, groups, variables = json.loads(text)
    return Inventory(
        {name: Host(name, address, own, tuple(of)) for name, address, own, of in hosts},
        {
            name: Group(name, tuple(members), tuple(children), own)
            for name, members, children, own in groups
        },
        variables,
    )
