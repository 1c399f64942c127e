"""What is observed laid over the desired inventory. Pure: an inventory and facts in, one out.

What a definition says stays: a fixed address is never replaced by what a guest happens to report.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from stackyard.inventory.groups import UNMANAGED, valid
from stackyard.inventory.model import Group, Host, Inventory, InventoryError
from stackyard.plan.observed import SYSTEM_TAGS
from stackyard.proxmox.facts import Fact, Wanted

ABSENT = "absent"


def wanted(desired: Inventory, tags: Collection[str], pools: Collection[str]) -> Wanted:
    """Return which VMs to ask Proxmox about, for an inventory and what else shall be in it."""
    said = {name: host.variables["stackyard_definition"] for name, host in desired.hosts.items()}
    return Wanted(
        managed={name for name, definition in said.items() if definition["managed"]},
        unmanaged={name for name, definition in said.items() if not definition["managed"]},
        with_agent={name for name, definition in said.items() if definition["agent"]},
        tags={tag.lower() for tag in tags},
        pools=set(pools),
    )


def overlay(desired: Inventory, facts: Iterable[Fact]) -> Inventory:
    """Return the inventory with `stackyard_observed`, found addresses, and VMs nobody defined.

    Raises:
        InventoryError: a VM of Proxmox's has the name of a group.
    """
    found = {fact.name: fact for fact in facts}
    hosts = {name: _known(host, found.get(name)) for name, host in desired.hosts.items()}
    hosts |= {name: _foreign(fact) for name, fact in found.items() if name not in hosts}
    hosts = dict(sorted(hosts.items()))
    groups = _groups(desired.groups, hosts)
    for name in groups.keys() & hosts.keys():
        raise InventoryError(f"the VM {name} in Proxmox is named like a group: rename it")
    return Inventory(hosts, groups, desired.variables)


def _known(host: Host, fact: Fact | None) -> Host:
    variables = dict(host.variables)
    if fact is None:
        variables["stackyard_observed"] = {"status": ABSENT}
        return replace(host, variables=variables, groups=(*host.groups, f"observed_{ABSENT}"))
    variables["stackyard_observed"] = _observed(fact)
    definition = variables["stackyard_definition"]
    address = host.address or _address(fact, ipv6=not definition["skip_ipv6"])
    if address and definition["define_connection_info"]:
        variables.setdefault("ansible_host", address)
    return Host(host.name, address, variables, (*host.groups, *_observed_groups(fact)))


def _foreign(fact: Fact) -> Host:
    variables: dict[str, Any] = {"stackyard_observed": _observed(fact)}
    address = _address(fact, ipv6=True)
    if address:
        variables["ansible_host"] = address
    groups = {UNMANAGED, f"node_{valid(fact.node)}", *_observed_groups(fact)}
    groups |= {f"tag_{valid(tag)}" for tag in fact.tags if tag not in SYSTEM_TAGS}
    return Host(fact.name, address, variables, tuple(sorted(groups)))


def _observed(fact: Fact) -> dict[str, Any]:
    values = {name: value for name, value in asdict(fact).items() if value is not None}
    del values["name"]
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def _observed_groups(fact: Fact) -> list[str]:
    pool = [f"pool_{valid(fact.pool)}"] if fact.pool else []
    return [f"observed_{valid(fact.status)}", *pool]


def _address(fact: Fact, *, ipv6: bool) -> str | None:
    """Return the first IPv4 address, which is the first card's; IPv6 where there is none."""
    addresses = fact.addresses or ()
    fours = [text for text in addresses if ":" not in text]
    return next(iter(fours or (addresses if ipv6 else ())), None)


def _groups(groups: Mapping[str, Group], hosts: Mapping[str, Host]) -> dict[str, Group]:
    members: dict[str, list[str]] = defaultdict(list)
    for host in hosts.values():
        for name in host.groups:
            members[name].append(host.name)
    return {
        name: replace(groups.get(name, Group(name)), hosts=tuple(members[name]))
        for name in sorted(groups.keys() | members.keys())
    }
