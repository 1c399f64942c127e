"""Clusters as groups: who belongs to one, in which part, and where its API answers."""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from stackyard.definitions.model import Definition
from stackyard.inventory.groups import CONTROL_PLANE, cluster_group, part_group, role_of
from stackyard.inventory.model import ClashError, Group, Host

NAME = "cluster_name"


def cluster_groups(vms: Collection[Definition]) -> dict[str, Group]:
    """Return each cluster's group: its parts as children, and its name as `cluster_name`.

    Raises:
        ClashError: two clusters, of two names or of two kinds, make the same group.
    """
    clusters: dict[str, str] = {}
    first: dict[str, Definition] = {}
    members: dict[str, list[str]] = defaultdict(list)
    parts: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for vm in vms:
        role = role_of(vm.name)
        if role.cluster is None:
            continue
        group = cluster_group(role.cluster)
        other = clusters.setdefault(group, role.cluster)
        if other != role.cluster:
            sentence = f"the clusters {other} and {role.cluster} would share the group {group}"
            raise ClashError(vm.source, "name", f"{sentence}: rename one")
        _check_kind(first.setdefault(group, vm), vm, group)
        members[group].append(vm.name)
        parts[group][role.part].append(vm.name)
    groups = {}
    for name, cluster in clusters.items():
        children = tuple(part_group(cluster, part) for part in sorted(parts[name]))
        if taken := next((child for child in children if child in clusters), None):
            sentence = (
                f"the cluster {clusters[taken]} would share the group {taken} with a part of the"
                f" cluster {cluster}: rename one"
            )
            blamed = next(vm for vm in vms if vm.name == members[taken][0])
            raise ClashError(blamed.source, "name", sentence)
        groups[name] = Group(name, (), children, {NAME: cluster})
    return groups


def with_members(groups: Mapping[str, Group], hosts: Mapping[str, Host]) -> dict[str, Group]:
    """Return the groups with what roles need to know of a cluster, as these hosts are.

    `cluster_members` are its hosts, `cluster_endpoint` the address of its first control plane that
    has one; a cluster behind a virtual address says so in group_vars, which Ansible puts above
    these.
    """
    return {name: _with_members(group, hosts) for name, group in groups.items()}


def _with_members(group: Group, hosts: Mapping[str, Host]) -> Group:
    cluster = (group.variables or {}).get(NAME)
    if cluster is None:
        return group
    # Definitions may put other hosts into the group.
    members = [name for name in group.hosts if role_of(name).cluster == cluster]
    if not members:  # it would take the place of what another source says, which has some
        return replace(group, variables=None)
    variables: dict[str, Any] = {NAME: cluster, "cluster_members": members}
    control_planes = [name for name in members if role_of(name).part == CONTROL_PLANE]
    addresses = (hosts[name].address for name in sorted(control_planes, key=_natural))
    if endpoint := next(filter(None, addresses), None):
        variables["cluster_endpoint"] = endpoint
    return replace(group, variables=variables)


def _check_kind(first: Definition, vm: Definition, group: str) -> None:
    """Refuse machines of two kinds in one cluster: the one's address is no API of the other."""
    one, other = role_of(first.name).kind, role_of(vm.name).kind
    if one != other:
        sentence = (
            f"{vm.name} ({other}) and {first.name} ({one}, {first.source.at()}) would share the"
            f" group {group} as one cluster: rename one"
        )
        raise ClashError(vm.source, "name", sentence)


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort cp2 before cp10."""
    return [(int(digits or 0), text) for text, digits in re.findall(r"(\D*)(\d*)", name)]
