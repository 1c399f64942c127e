"""Definitions in, an inventory out. Pure: the same definitions always make the same inventory."""

import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from stackyard.definitions.model import Definition, Reference
from stackyard.inventory.groups import PARENTS, cluster_group, groups_of, role_of
from stackyard.inventory.model import Group, Host, Inventory, InventoryError

# Not part of `stackyard_definition`: where it was read, keys, and what stands beside it anyway.
LEFT_OUT = {"source", "sshkeys", "variables", "groups"}


def build_inventory(
    definitions: Iterable[Definition], known_hosts: Path | None = None
) -> Inventory:
    """Return the desired inventory; `known_hosts` is the file of pinned host keys.

    Raises:
        InventoryError: a group has a host's name, or two clusters make the same group.
    """
    vms = sorted(definitions, key=lambda vm: vm.name)
    hosts = {vm.name: _host(vm) for vm in vms}
    groups = _groups(vms)
    for name in groups:
        if name in hosts:
            raise InventoryError(f"{_blame(vms, name)}: a group is named like the host {name}")
    return Inventory(hosts, groups, _connection(known_hosts))


def _host(vm: Definition) -> Host:
    address = _address(vm)
    role = role_of(vm.name)
    variables: dict[str, Any] = {"stackyard_definition": describe(vm)}
    if role.cluster:
        variables["cluster_name"] = role.cluster
    if vm.define_connection_info:
        if address:
            variables["ansible_host"] = address
        if vm.ciuser:
            variables["ansible_user"] = vm.ciuser
    return Host(vm.name, address, variables | dict(vm.variables), groups_of(vm))


def _address(vm: Definition) -> str | None:
    for config in vm.ipconfigs:
        if config and config.ip and config.ip != "dhcp":
            return config.ip.partition("/")[0]
    return None


def describe(value: Any) -> Any:
    """Return a definition as plain data, as host variables and documents hold it."""
    if isinstance(value, Reference):
        return {"env": value.env}
    if is_dataclass(value):
        pairs = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {name: describe(item) for name, item in pairs if name not in LEFT_OUT}
    if isinstance(value, Mapping):
        return {name: describe(item) for name, item in value.items()}
    return [describe(item) for item in value] if isinstance(value, tuple | list) else value


def _groups(vms: list[Definition]) -> dict[str, Group]:
    members: dict[str, list[str]] = defaultdict(list)
    clusters: dict[str, str] = {}
    for vm in vms:
        for group in groups_of(vm):
            members[group].append(vm.name)
        cluster = role_of(vm.name).cluster
        if cluster:
            other = clusters.setdefault(cluster_group(cluster), cluster)
            if other != cluster:
                raise InventoryError(
                    f"{vm.source.at()}: the clusters {other} and {cluster} would share the group"
                    f" {cluster_group(cluster)}: rename one"
                )
    groups = {
        name: Group(
            name,
            tuple(hosts),
            variables={"cluster_name": clusters[name]} if name in clusters else None,
        )
        for name, hosts in sorted(members.items())
    }
    for parent, children in PARENTS.items():
        present = tuple(child for child in children if child in groups)
        if present:
            own = groups.get(parent, Group(parent))
            groups[parent] = Group(parent, own.hosts, present, own.variables)
    return groups


def _blame(vms: list[Definition], group: str) -> str:
    """Return the place that names a group, or the host's where the group is a parent."""
    blamed = next((vm for vm in vms if group in groups_of(vm)), None)
    if blamed:
        return blamed.source.at("groups")
    return next(vm.source.at() for vm in vms if vm.name == group)


def _connection(known_hosts: Path | None) -> dict[str, Any]:
    if known_hosts is None:
        return {}
    options = f"-o UserKnownHostsFile={shlex.quote(str(known_hosts))} -o StrictHostKeyChecking=yes"
    return {"ansible_ssh_common_args": options}
