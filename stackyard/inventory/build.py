"""Definitions in, an inventory out. Pure: the same definitions always make the same inventory."""

import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from stackyard.definitions.model import Definition, Source
from stackyard.inventory.clusters import cluster_groups, with_members
from stackyard.inventory.describe import describe
from stackyard.inventory.groups import PARENTS, groups_of, role_of
from stackyard.inventory.model import DEFINITION, ClashError, Group, Host, Inventory

PLAIN_PATH = re.compile(r"[\w/.@+,:-]+")
CONTROLLER = ("localhost", "127.0.0.1")  # where tasks go that are to run beside Ansible itself
SSH_PORT = 22
ANSIBLES_OWN = ("all", "ungrouped", "_meta")  # `_meta` holds the variables in its JSON


def build_inventory(
    definitions: Iterable[Definition], known_hosts: Path | None = None
) -> Inventory:
    """Return the desired inventory; `known_hosts` is the file of pinned host keys.

    Raises:
        ClashError: a group has a host's name or one of Ansible's own, a host that of the machine
            Ansible runs on, two clusters make the same group, or a definition sets the variable
            that holds it.
    """
    vms = sorted(definitions, key=lambda vm: vm.name)
    for vm in vms:
        if vm.name in CONTROLLER:
            raise ClashError(
                vm.source, "name", f"{vm.name} is where Ansible itself runs: rename it"
            )
    hosts = {vm.name: _host(vm) for vm in vms}
    groups = _groups(vms, hosts)
    for name in (*ANSIBLES_OWN, *groups):
        if name in hosts:
            raise ClashError(*_blame(vms, name), f"a group is named like the host {name}")
    return Inventory(hosts, groups, _connection(known_hosts))


def _host(vm: Definition) -> Host:
    address = _address(vm)
    role = role_of(vm.name)
    variables: dict[str, Any] = {}
    if role.cluster:
        variables["cluster_name"] = role.cluster
    if vm.define_connection_info:
        if address:
            variables["ansible_host"] = address
        if vm.ciuser:
            variables["ansible_user"] = vm.ciuser
    if DEFINITION in vm.variables:
        sentence = f"{DEFINITION} in variables is the definition itself: choose another name"
        raise ClashError(vm.source, "variables", sentence)
    variables |= {**vm.variables, DEFINITION: describe(vm)}
    return Host(vm.name, address, variables, groups_of(vm, role))


def _address(vm: Definition) -> str | None:
    """Return the first fixed address; one of IPv6 where no card has IPv4, be it leased."""
    configs = [config for config in vm.ipconfigs if config]
    of_ipv4 = [config.ip for config in configs if config.ip]
    of_ipv6 = [config.ip6 for config in configs if config.ip6 and not vm.skip_ipv6]
    asked = of_ipv4 or of_ipv6
    fixed = [address for address in asked if "/" in address]
    # As ssh writes it, and looks for it among the keys of hosts.
    return str(ip_address(fixed[0].partition("/")[0])) if fixed else None


def _groups(vms: list[Definition], hosts: Mapping[str, Host]) -> dict[str, Group]:
    members: dict[str, list[str]] = defaultdict(list)
    for vm in vms:
        for group in hosts[vm.name].groups:
            members[group].append(vm.name)
    for name in ANSIBLES_OWN:
        if name in members:
            sentence = f"the group {name} is Ansible's own: leave it out"
            raise ClashError(*_blame(vms, name), sentence)
    clusters = cluster_groups(vms)
    groups = {
        name: replace(clusters.get(name, Group(name)), hosts=tuple(names))
        for name, names in sorted(members.items())
    }
    for parent, children in PARENTS.items():
        present = tuple(child for child in children if child in groups)
        if present:
            own = groups.get(parent, Group(parent))
            groups[parent] = Group(parent, own.hosts, present, own.variables)
    return with_members(groups, hosts)


def _blame(vms: list[Definition], group: str) -> tuple[Source, str]:
    """Return who is in a group and the key, or the host's name where the group is a parent."""
    blamed = next((vm for vm in vms if group in groups_of(vm, role_of(vm.name))), None)
    if blamed:
        return blamed.source, "groups" if group in blamed.groups else "name"
    return next((vm.source, "name") for vm in vms if vm.name == group)


def _connection(known_hosts: Path | None) -> dict[str, Any]:
    if known_hosts is None:
        return {}
    option = shlex.quote(f"UserKnownHostsFile={_ssh_path(known_hosts)}")
    return {
        "ansible_ssh_common_args": f"-o {option} -o StrictHostKeyChecking=yes",
        # Where it is off, as in AWX, Ansible says so to ssh before, which takes what is said first.
        "ansible_host_key_checking": True,
    }


def known_as(name: str, port: int | str) -> str:
    """Return how known_hosts calls a host at a port, which may be a definition's text."""
    return name if str(port) == str(SSH_PORT) else f"[{name}]:{port}"


def _ssh_path(path: Path) -> str:
    """Return a path as ssh_config(5) wants it: it takes several, and puts values for %."""
    if PLAIN_PATH.fullmatch(str(path)):
        return str(path)
    escaped = re.sub(r'["\\]', r"\\\g<0>", str(path)).replace("%", "%%")
    return f'"{escaped}"'
