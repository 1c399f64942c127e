"""An inventory of some of its hosts: what the filters of a source leave."""

from collections.abc import Collection
from dataclasses import replace

from stackyard.inventory.clusters import with_members
from stackyard.inventory.model import Inventory


def narrow(inventory: Inventory, names: Collection[str]) -> Inventory:
    """Return the inventory with these hosts alone; no group and no variable names another.

    A group without a host is left out: what it says of its cluster would take the place of what
    another source, with the others of its hosts, says.
    """
    hosts = {name: host for name, host in inventory.hosts.items() if name in names}
    groups = {
        group.name: replace(group, hosts=tuple(name for name in group.hosts if name in hosts))
        for group in inventory.groups.values()
    }

    def is_left(name: str) -> bool:
        return bool(groups[name].hosts) or any(map(is_left, groups[name].children))

    left = {
        name: replace(group, children=tuple(filter(is_left, group.children)))
        for name, group in groups.items()
        if is_left(name)
    }
    return replace(inventory, hosts=hosts, groups=with_members(left, hosts))
