"""Nornir's view of the VM definitions: `InitNornir(inventory={"plugin": "StackyardInventory"})`."""

from pathlib import Path
from typing import Any

from nornir.core.inventory import Defaults, Group, Groups, Host, Hosts, Inventory, ParentGroups

from stackyard.fleet import load_fleet
from stackyard.inventory import build_inventory


class StackyardInventory:
    """A Nornir inventory plugin over the definitions of a site."""

    def __init__(self, site: str = ".", **_options: Any) -> None:
        """Remember the site; `load` reads it."""
        self.site = Path(site)

    def load(self) -> Inventory:
        """Return the site's hosts and groups.

        Raises:
            StackyardError: the definitions have mistakes.
        """
        desired = build_inventory(load_fleet(self.site).definitions)
        groups = Groups(
            {
                group.name: Group(name=group.name, data=dict(group.variables or {}))
                for group in desired.groups.values()
            }
        )
        for parent in desired.groups.values():
            for child in parent.children:
                groups[child].groups.append(groups[parent.name])
        hosts = Hosts()
        for host in desired.hosts.values():
            hosts[host.name] = Host(
                name=host.name,
                hostname=host.address,
                username=host.variables.get("ansible_user"),
                data=dict(host.variables),
                groups=ParentGroups([groups[name] for name in host.groups]),
            )
        return Inventory(hosts=hosts, groups=groups, defaults=Defaults())
