"""Nornir's view of the VM definitions: `InitNornir(inventory={"plugin": "StackyardInventory"})`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nornir.core.inventory import (
    ConnectionOptions,
    Defaults,
    Group,
    Groups,
    Host,
    Hosts,
    Inventory,
    ParentGroups,
)

from stackyard.fleet import load_fleet
from stackyard.inventory import build_inventory

CONNECTION = ("hostname", "port", "username", "password", "platform")


class StackyardInventory:
    """A Nornir inventory plugin over the definitions of a site."""

    def __init__(
        self,
        site: str = ".",
        defaults: Mapping[str, Any] | None = None,
        connection_options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Remember the site; `load` reads it.

        `defaults` are Nornir's: port, username, platform and data of all hosts;
        `connection_options` are by the connection's name, for all hosts too.
        """
        self.site = Path(site)
        self.defaults = dict(defaults or {})
        self.connection_options = dict(connection_options or {})

    def load(self) -> Inventory:
        """Return the site's hosts and groups.

        Raises:
            StackyardError: the definitions have mistakes.
        """
        desired = build_inventory(load_fleet(self.site).definitions)
        defaults = Defaults(**self.defaults)
        defaults.connection_options = {
            name: ConnectionOptions(**_options(options))
            for name, options in self.connection_options.items()
        }
        groups = Groups(
            {
                group.name: Group(
                    name=group.name, data=dict(group.variables or {}), defaults=defaults
                )
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
                hostname=host.variables.get("ansible_host", host.address),
                username=host.variables.get("ansible_user"),
                data=dict(host.variables),
                groups=ParentGroups([groups[name] for name in host.groups]),
                defaults=defaults,
            )
        return Inventory(hosts=hosts, groups=groups, defaults=defaults)


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given.get(name) for name in (*CONNECTION, "extras")}
