"""Lays what Proxmox knows over the desired inventory. Pure; `stackyard.proxmox.live` asks for it.

The definitions stay the truth about what is wanted: their variables and groups are never replaced,
only added to, and an address in a definition stays the one that is connected to.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from stackyard.inventory import Group, Host, Inventory, InventoryError
from stackyard.inventory.build import ANSIBLES_OWN, CONTROLLER, SSH_PORT, known_as
from stackyard.inventory.clusters import with_members
from stackyard.inventory.groups import UNMANAGED, valid
from stackyard.proxmox.facts import ABSENT, UNKNOWN, Facts

# Equal to `stackyard.plan.TAG`; that room needs netaddr, which an inventory's Python may not have.
OURS = "stackyard"
SSH_ARGUMENTS = "ansible_ssh_common_args"


@dataclass(frozen=True, slots=True)
class Include:
    """Which VMs without a definition are hosts too: those with one of the tags or in a pool."""

    tags: frozenset[str] = frozenset()  # lower case; a cluster may keep the case of tags
    pools: frozenset[str] = frozenset()

    @property
    def is_wanted(self) -> bool:
        """Whether any tag or pool is named."""
        return bool(self.tags or self.pools)

    def takes(self, facts: Facts) -> bool:
        """Tell whether a VM is included; a template never is."""
        is_tagged = bool(self.tags.intersection(map(str.lower, facts.tags)))
        return (is_tagged or facts.pool in self.pools) and not facts.template


def match(desired: Inventory, vms: Iterable[Facts], include: Include) -> dict[str, Facts]:
    """Return the VMs that are hosts, by the host's name.

    Raises:
        InventoryError: two VMs would be the same host.
    """
    by_name: dict[str, list[Facts]] = defaultdict(list)
    for vm in sorted(vms, key=lambda vm: vm.vmid):
        by_name[vm.host_name].append(vm)
    found = {
        host.name: chosen
        for host in desired.hosts.values()
        if (chosen := _chosen(host, by_name.get(host.name, [])))
    }
    included = [vm for vm in vms if include.takes(vm) and not vm.is_forgotten]
    for vm in sorted(included, key=lambda vm: vm.vmid):
        if vm.host_name in CONTROLLER:
            raise InventoryError(
                f"VM {vm.vmid} on {vm.node} is called {vm.host_name}, like the machine that "
                "Ansible runs on: rename it, or leave it out of include_tags and include_pools"
            )
        if found.setdefault(vm.host_name, vm) != vm or _is_strange(desired, vm):
            raise InventoryError(
                f"VM {vm.vmid} on {vm.node} would be the host {vm.host_name}, which another VM or "
                "a definition is already: rename one, or leave it out of include_tags and "
                "include_pools"
            )
    return found


def _chosen(host: Host, candidates: list[Facts]) -> Facts | None:
    """Return the VM of a definition, which a plan would take too: ours, or any where unmanaged."""
    is_template = bool(host.definition.get("template"))
    known = [vm for vm in candidates if OURS in vm.tags or not is_managed(host)]
    alike = [vm for vm in known if vm.template == is_template]
    # What is to become a template is none until a plan makes it one.
    fitting = known if is_template and not alike else alike
    numbered = [vm for vm in fitting if vm.vmid == host.definition.get("vmid")]
    if len(fitting) > 1 and not numbered:
        places = " and ".join(f"{vm.vmid} on {vm.node}" for vm in fitting[:2])
        raise InventoryError(f"two VMs in Proxmox are called {host.name} ({places}): rename one")
    return next(iter(numbered or fitting), None)


def _is_strange(desired: Inventory, vm: Facts) -> bool:
    """Tell whether a VM has the name of a definition and is not ours."""
    host = desired.hosts.get(vm.host_name)
    return host is not None and is_managed(host) and OURS not in vm.tags


def is_managed(host: Host) -> bool:
    """Tell whether a definition is more than a host, so that its VM is ours."""
    return bool(host.definition.get("managed", True))


def may_be(host: Host, vm: Facts, vmids: Collection[int]) -> bool:
    """Tell whether a VM whose name is forgotten may be a host's; `vmids` are in definitions."""
    vmid = host.definition.get("vmid")
    is_its_number = vmid == vm.vmid if vmid is not None else vm.vmid not in vmids
    return is_its_number and (OURS in vm.tags or not is_managed(host))


def lay_over(
    desired: Inventory, facts: Mapping[str, Facts], unsure: Collection[str] = ()
) -> Inventory:
    """Return the inventory with facts, power groups, pools, and the hosts only Proxmox has.

    `unsure` are the hosts whose VMs may be on nodes that do not answer.

    Raises:
        InventoryError: a group would have a host's name.
    """
    pinning = desired.variables.get(SSH_ARGUMENTS)
    hosts = {
        name: _observed(host, facts[name], pinning)
        if name in facts
        else _unseen(host, name in unsure)
        for name, host in desired.hosts.items()
    }
    only_there = {name: _found(vm) for name, vm in facts.items() if name not in hosts}
    hosts |= dict(sorted(only_there.items()))
    groups = with_members(_groups(desired.groups, hosts), hosts)
    for name in (*ANSIBLES_OWN, *groups):
        if name in hosts:
            raise InventoryError(f"a group is named like the host {name}: rename the VM")
    return Inventory(hosts, groups, desired.variables)


def _observed(host: Host, facts: Facts, pinning: str | None) -> Host:
    variables = {**facts.variables(), **host.variables}
    definition = host.definition
    leased = [ip for ip in facts.addresses if not (definition.get("skip_ipv6") and ":" in ip)]
    address = host.address or next(iter(leased), None)
    is_ours = definition.get("define_connection_info", True) and "ansible_host" not in variables
    if address and is_ours:
        variables["ansible_host"] = address
        if pinning:
            # By its name, under which `stackyard ready` pins it, for leases change.
            alias = known_as(host.name, variables.get("ansible_port") or SSH_PORT)
            variables.setdefault(SSH_ARGUMENTS, f"{pinning} -o HostKeyAlias={alias}")
    return Host(host.name, address, variables, _with(host.groups, _live_groups(facts)))


def _unseen(host: Host, is_unsure: bool) -> Host:
    status = UNKNOWN if is_unsure else ABSENT
    variables = {"proxmox_status": status, **host.variables}
    return replace(host, variables=variables, groups=_with(host.groups, {f"power_{status}"}))


def _found(facts: Facts) -> Host:
    variables: dict[str, Any] = facts.variables()
    address = next(iter(facts.addresses), None)
    if address:
        variables["ansible_host"] = address
    groups = {UNMANAGED, f"node_{valid(facts.node)}"} | _live_groups(facts)
    groups |= {f"tag_{valid(tag)}" for tag in facts.tags}
    return Host(facts.host_name, address, variables, _with((), groups))


def _live_groups(facts: Facts) -> set[str]:
    pool = {f"pool_{valid(facts.pool)}"} if facts.pool else set()
    return {f"power_{facts.status}"} | pool


def _with(groups: Iterable[str], more: set[str]) -> tuple[str, ...]:
    return tuple(sorted({*groups, *more}))


def _groups(desired: Mapping[str, Group], hosts: Mapping[str, Host]) -> dict[str, Group]:
    members: dict[str, list[str]] = defaultdict(list)
    for host in hosts.values():
        for group in host.groups:
            members[group].append(host.name)
    return {
        name: replace(desired.get(name, Group(name)), hosts=tuple(sorted(members.get(name, ()))))
        for name in sorted({*desired, *members})
    }
