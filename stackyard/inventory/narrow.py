"""An inventory of some of its hosts: what the filters of a source leave."""

from collections.abc import Collection
from dataclasses import replace

from stackyard.inventory.clusters import with_members
from stackyard.inventory.model import Inventory


def narrow(inventory: Inventory, names: Collection[str]) -> Inventory:
    """Return the inventory with these hosts alone; no group and no variable names another."""
    hosts = {name: host for name, host in inventory.hosts.items() if name in names}
    groups = {
        group.name: replace(group, hosts=tuple(name for name in group.hosts if name in hosts))
        for group in inventory.groups.values()
    }
    return replace(inventory, hosts=hosts, groups=with_members(groups, hosts))
