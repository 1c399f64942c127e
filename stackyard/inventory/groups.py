"""Which groups a VM belongs to: by its name, its cluster, its node, its tags and its state.

The group of load balancers is `haproxy_servers`, since a host may be called `haproxy` and a group
must never have a host's name.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from stackyard.definitions.model import Definition

LOAD_BALANCERS = "haproxy_servers"
UNMANAGED = "unmanaged"
CONTROL_PLANE = "control_plane"
WORKERS = "workers"

# First match wins: k8s-dev-cp1 is a kubeadm control plane and not the K3s cluster "dev-cp1".
PATTERNS = (
    (re.compile(r"talos-(?P<cluster>.+)-cp\d+"), "talos_control_plane"),
    (re.compile(r"talos-(?P<cluster>.+)-w\d+"), "talos_workers"),
    (re.compile(r"k8s-(?P<cluster>.+)-cp\d+"), "kubeadm_control_plane"),
    (re.compile(r"k8s-(?P<cluster>.+)-w\d+"), "kubeadm_workers"),
    (re.compile(r"k8s-(?P<cluster>.+)"), "k3s"),
    (re.compile(r"haproxy(-.+)?"), LOAD_BALANCERS),
)
PARENTS = {
    "kubeadm": ("kubeadm_control_plane", "kubeadm_workers"),
    "talos": ("talos_control_plane", "talos_workers"),
}


@dataclass(frozen=True, slots=True)
class Role:
    """What a VM's name says it is for; both None for a VM without a role."""

    group: str | None = None
    cluster: str | None = None

    @property
    def kind(self) -> str | None:
        """What makes its cluster: k3s, kubeadm or talos."""
        return self.group.partition("_")[0] if self.group and self.cluster else None

    @property
    def part(self) -> str:
        """Which part of its cluster it is; a K3s server is a control plane too."""
        return WORKERS if self.group and self.group.endswith(WORKERS) else CONTROL_PLANE


@lru_cache(maxsize=65536)
def role_of(name: str) -> Role:
    """Return the role and the cluster that a VM's name stands for."""
    for pattern, group in PATTERNS:
        match = pattern.fullmatch(name)
        if match:
            return Role(group, match.groupdict().get("cluster"))
    return Role()


@lru_cache(maxsize=4096)
def valid(name: str) -> str:
    """Return a group name that Ansible takes without a warning."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def groups_of(definition: Definition, role: Role) -> tuple[str, ...]:
    """Return every group a VM is a direct member of, sorted."""
    groups = {f"node_{valid(definition.target_node)}", *definition.groups}
    groups |= {f"tag_{valid(tag)}" for tag in definition.tags}
    if role.group:
        groups.add(role.group)
    if role.cluster:
        groups |= {cluster_group(role.cluster), part_group(role.cluster, role.part)}
    state = "stopped" if definition.template else definition.vm_state
    if state:
        groups.add(f"state_{state}")
    if not definition.managed:
        groups.add(UNMANAGED)
    return tuple(sorted(groups))


def cluster_group(cluster: str) -> str:
    """Return the group of a cluster's hosts."""
    return f"cluster_{valid(cluster)}"


def part_group(cluster: str, part: str) -> str:
    """Return the group of the control planes or the workers of one cluster."""
    return f"{cluster_group(cluster)}_{part}"
