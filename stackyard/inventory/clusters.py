"""Clusters as groups: who belongs to one, in which part, and where its API answers."""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from stackyard.definitions.model import Definition
from stackyard.inventory.groups import CONTROL_PLANE, cluster_group, part_group, role_of
from stackyard.inventory.model import ClashError, Group, Host


def cluster_groups(vms: Collection[Definition], hosts: Mapping[str, Host]) -> dict[str, Group]:
    """Return each cluster's group: its parts as children and the variables roles need.

    `cluster_name` is the cluster, `cluster_members` its hosts, `cluster_endpoint` the fixed address
    of its first control plane; a cluster behind a virtual address says so in group_vars, which
    Ansible puts above these.

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
        variables = _variables(cluster, members[name], parts[name].get(CONTROL_PLANE, []), hosts)
        groups[name] = Group(name, (), children, variables)
    return groups


def _check_kind(first: Definition, vm: Definition, group: str) -> None:
    """Refuse machines of two kinds in one cluster: the one's address is no API of the other."""
    one, other = role_of(first.name).kind, role_of(vm.name).kind
    if one != other:
        sentence = (
            f"{vm.name} ({other}) and {first.name} ({one}, {first.source.at()}) would share the"
            f" group {group} as one cluster: rename one"
        )
        raise ClashError(vm.source, "name", sentence)


def _variables(
    cluster: str, members: list[str], control_planes: list[str], hosts: Mapping[str, Host]
) -> dict[str, Any]:
    variables: dict[str, Any] = {"cluster_name": cluster, "cluster_members": members}
    for name in sorted(control_planes, key=_natural):
        if address := hosts[name].address:
            return variables | {"cluster_endpoint": address}
    return variables


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort cp2 before cp10."""
    return [(int(digits or 0), text) for text, digits in re.findall(r"(\D*)(\d*)", name)]
