"""Nornir's view of the VM definitions: `InitNornir(inventory={"plugin": "StackyardInventory"})`."""

from collections.abc import Collection, Mapping
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
from stackyard.inventory import InventoryError, build_inventory
from stackyard.inventory.view import groups_over, parents_of

CONNECTION = ("hostname", "port", "username", "password", "platform")
# As the plugin of nornir-ansible has them.
VARIABLES = {
    "hostname": "ansible_host",
    "port": "ansible_port",
    "username": "ansible_user",
    "password": "ansible_password",
    "platform": "ansible_network_os",
}


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
        # As Nornir does with its own files.
        self.site = Path(site).expanduser() if str(site).startswith("~/") else Path(site)
        self.defaults = dict(defaults or {})
        self.connection_options = dict(connection_options or {})

    def load(self) -> Inventory:
        """Return the site's hosts and groups.

        Raises:
            StackyardError: the definitions have mistakes, or an option has a key that it does not
                take.
        """
        desired = build_inventory(load_fleet(self.site).definitions)
        # No address: each host has its own.
        defaults = Defaults(**_known(self.defaults, (*CONNECTION[1:], "data"), "defaults"))
        defaults.connection_options = {
            name: _options(name, options) for name, options in self.connection_options.items()
        }
        groups = Groups(
            {
                group.name: Group(
                    name=group.name, data=dict(group.variables or {}), defaults=defaults
                )
                for group in desired.groups.values()
            }
        )
        parents = parents_of(desired)
        hosts = Hosts()
        for host in desired.hosts.values():
            # All groups are the host's own, the last that Ansible lays over the others first: what
            # Nornir finds first is what it takes, and `groups__contains` looks at these alone.
            above = reversed(groups_over(host, parents))
            hosts[host.name] = Host(
                name=host.name,
                data=dict(host.variables),
                groups=ParentGroups([groups[name] for name in above]),
                defaults=defaults,
                **_connection(host.name, host.variables),
            )
        return Inventory(hosts=hosts, groups=groups, defaults=defaults)


def _connection(name: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Nornir connects with, from what Ansible connects with.

    That is its name for a host without an address; for none, ssh libraries go to this machine.
    """
    found: dict[str, Any] = {"hostname": name}
    found |= {option: variables[of] for option, of in VARIABLES.items() if variables.get(of)}
    if str(port := found.get("port")).isdecimal():
        found["port"] = int(str(port))
    return found


def _options(name: str, given: Mapping[str, Any]) -> ConnectionOptions:
    names = (*CONNECTION, "extras")
    known = _known(given, names, f"connection_options of {name}")
    return ConnectionOptions(**dict.fromkeys(names) | known)


def _known(given: Mapping[str, Any], names: Collection[str], where: str) -> dict[str, Any]:
    """Return what is given to an option, if it takes all of it."""
    if unknown := next((name for name in given if name not in names), None):
        raise InventoryError(f"{where} take no {unknown}: they take {', '.join(names)}")
    return dict(given)
