"""An inventory of some of its hosts: what the filters of a source leave."""

from collections.abc import Collection
from dataclasses import replace

from stackyard.inventory.clusters import with_members
from stackyard.inventory.model import Group, Inventory


def narrow(inventory: Inventory, names: Collection[str]) -> Inventory:
    """Return the inventory with these hosts alone; no group and no variable names another."""
    hosts = {name: host for name, host in inventory.hosts.items() if name in names}
    groups = {group.name: _narrowed(group, hosts) for group in inventory.groups.values()}
    return replace(inventory, hosts=hosts, groups=with_members(groups, hosts))


def _narrowed(group: Group, hosts: Collection[str]) -> Group:
    """Return a group with these hosts; one that has none of them says nothing of its cluster.

    It would take the place of what another source says, which has the cluster's hosts.
    """
    left = tuple(name for name in group.hosts if name in hosts)
    return replace(group, hosts=left, variables=group.variables if left else None)
