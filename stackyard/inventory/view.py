"""An inventory as people and scripts look at it: Ansible's own shapes, computed here."""

import difflib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from stackyard.inventory.model import Host, Inventory, InventoryError
from stackyard.inventory.templates import marked, unsafe


def as_list(inventory: Inventory) -> dict[str, Any]:
    """Return what `ansible-inventory --list --export` prints; it may be read as an inventory."""
    hosts = {h.name: marked(dict(h.variables), unsafe) for h in inventory.hosts.values()}
    document: dict[str, Any] = {
        "_meta": {"hostvars": hosts},
        "all": {"children": _top(inventory), "vars": dict(inventory.variables)},
    }
    for group in inventory.groups.values():
        parts = {
            "hosts": list(group.hosts),
            "children": list(group.children),
            "vars": marked(dict(group.variables or {}), unsafe),
        }
        document[group.name] = {key: value for key, value in parts.items() if value}
    return document


def as_graph(inventory: Inventory) -> str:
    """Return groups and hosts as a tree, as `ansible-inventory --graph` draws it."""
    lines = ["@all:"]
    for name in _top(inventory):
        lines += _branch(inventory, name, "  |--")
    grouped = {host for group in inventory.groups.values() for host in group.hosts}
    if alone := [name for name in inventory.hosts if name not in grouped]:
        lines += ["  |--@ungrouped:", *(f"  |  |--{name}" for name in alone)]
    return "\n".join(lines)


def variables_of(inventory: Inventory, name: str) -> dict[str, Any]:
    """Return all variables of a host: everybody's, its groups' from the outermost in, its own.

    Raises:
        InventoryError: there is no such host.
    """
    host = find_host(inventory, name)
    variables = dict(inventory.variables)
    for group in groups_over(host, parents_of(inventory)):
        variables |= inventory.groups[group].variables or {}
    return variables | dict(host.variables)


def find_host(inventory: Inventory, name: str) -> Host:
    """Return a host by its name.

    Raises:
        InventoryError: there is no such host; the sentence has the nearest name.
    """
    if name in inventory.hosts:
        return inventory.hosts[name]
    near = difflib.get_close_matches(name, inventory.hosts, n=1)
    hint = f", did you mean {near[0]}?" if near else ": see stackyard inventory graph"
    raise InventoryError(f"there is no host {name}{hint}")


def parents_of(inventory: Inventory) -> dict[str, list[str]]:
    """Return the groups that each group is a child of."""
    parents: dict[str, list[str]] = defaultdict(list)
    for group in inventory.groups.values():
        for child in group.children:
            parents[child].append(group.name)
    return parents


def groups_over(host: Host, parents: Mapping[str, list[str]]) -> list[str]:
    """Return all of a host's groups in the order in which Ansible lays them over each other."""

    def depth(name: str) -> int:
        return 1 + max((depth(parent) for parent in parents.get(name, ())), default=0)

    found, queue = set(host.groups), list(host.groups)
    while queue:
        above = [name for name in parents.get(queue.pop(), ()) if name not in found]
        found.update(above)
        queue += above
    return sorted(found, key=lambda name: (depth(name), name))


def _top(inventory: Inventory) -> list[str]:
    children = {child for group in inventory.groups.values() for child in group.children}
    return sorted(inventory.groups.keys() - children)


def _branch(inventory: Inventory, name: str, margin: str) -> Iterator[str]:
    group = inventory.groups[name]
    yield f"{margin}@{name}:"
    deeper = margin.replace("--", "  ") + "|--"
    for child in sorted(group.children):
        yield from _branch(inventory, child, deeper)
    for host in group.hosts:
        yield f"{deeper}{host}"
