"""What is there, with the fewest calls: the nodes, the VMs of each, and one call a VM that matters.

`GET /nodes/N/qemu` is always fresh, unlike `GET /cluster/resources`, which lags by up to ten
seconds and shows a reused VMID with the old VM's name.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from stackyard.definitions.model import Definition
from stackyard.fleet import Site
from stackyard.plan.make import select
from stackyard.plan.observed import TAG, Config, NodeRoom, Observed, ObservedVm
from stackyard.plan.vmids import assign_vmids
from stackyard.proxmox.client import Client
from stackyard.proxmox.errors import ApiError
from stackyard.proxmox.ha import observe_ha
from stackyard.proxmox.makings import when_made
from stackyard.proxmox.nodes import name_of, read_nodes, read_vms, tags_of
from stackyard.proxmox.pools import observe_pools
from stackyard.proxmox.reading import Readers, reading
from stackyard.proxmox.taken import with_taken
from stackyard.proxmox.wire import decode_pending

MIB = 1024**2
MAKING_PATIENCE_SECONDS = 600.0
STRANGERS_PATIENCE_SECONDS = 20.0  # with a VM that is most likely somebody else's
_LOOKS = 3  # until the lists and what is read after them agree


@dataclass(frozen=True, slots=True)
class Scope:
    """Which VMs' configurations are read; the lists of all nodes always are."""

    limit: str | None = None  # of the definitions, see `stackyard.plan.make.select`
    names: frozenset[str] = frozenset()  # VMs besides those of the definitions
    also: Callable[[ObservedVm], bool] = lambda _vm: False  # more of them, picked from the lists
    replaced: frozenset[str] = frozenset()  # made anew, so that their templates are needed
    # By VMID: what this run has read since its last write, which is not read once more.
    read_back: Mapping[int, Config] = field(default_factory=dict)
    patience: float = MAKING_PATIENCE_SECONDS  # with VMs that somebody is just making


def observe(
    client: Client,
    definitions: Iterable[Definition],
    site: Site,
    limit: str | None = None,
    names: Iterable[str] = (),
) -> Observed:
    """Read the cluster as far as a plan for these definitions, and VMs of these names, needs it.

    Raises:
        ProxmoxError, PlanError: see `observe_scope`.
    """
    return observe_scope(client, definitions, site, Scope(limit, frozenset(names)))


def observe_scope(
    client: Client, definitions: Iterable[Definition], site: Site, scope: Scope
) -> Observed:
    """Read the cluster as far as a plan for these definitions, in this scope, needs it.

    VMs of theirs that are just being made, by a run that was killed or by another one, are waited
    for: what they will be cannot be seen before.

    Raises:
        ProxmoxError: Proxmox refused or did not answer.
        PlanError: the limit matches nothing.
    """
    fleet = tuple(definitions)
    selected = select(fleet, scope.limit) if fleet else ()
    wanted = {*(definition.name for definition in selected), *scope.names}
    assign, begun = _assigning(fleet, site), time.monotonic()
    concerns = _concerning(wanted, site, assign)
    with reading(client) as readers:

        def look() -> Observed:
            patience = begun + scope.patience - time.monotonic()
            return when_made(client, lambda: _lists(client, readers), concerns, patience)

        def assigned(observed: Observed) -> set[int]:
            return {vmid for name, vmid in assign(observed).items() if name in wanted}

        for _ in range(_LOOKS):
            observed = with_taken(client, look, assigned)
            concerned = _concerned(observed, selected, wanted, scope)
            read = readers.map(lambda vm: _read_back(vm, scope) or _read(client, vm), concerned)
            if [vm and vm.name for vm in read] == [vm.name for vm in concerned]:
                break  # none was renamed, moved or removed meanwhile
        details = {vm.vmid: vm for vm in read if vm is not None}
        gone = {vm.vmid for vm in concerned} - details.keys()
    vms = tuple(details.get(vm.vmid, vm) for vm in observed.vms if vm.vmid not in gone)
    observed = replace(observed, vms=vms)
    if any(definition.ha is not None for definition in selected):
        observed = observe_ha(client, observed)
    pools = {definition.pool for definition in selected if definition.pool is not None}
    return observe_pools(client, observed, pools) if pools else observed


def observe_rest(client: Client, observed: Observed) -> Observed:
    """Read the configurations of all other VMs that have our tag.

    Raises:
        ProxmoxError: Proxmox refused or did not answer.
    """
    unread = [
        vm
        for vm in observed.vms
        if TAG in vm.tags and vm.config is None and observed.nodes[vm.node]
    ]
    with reading(client) as readers:
        read = {vm.vmid: vm for vm in readers.map(lambda vm: _read(client, vm), unread) if vm}
    return replace(observed, vms=tuple(read.get(vm.vmid, vm) for vm in observed.vms))


def _assigning(fleet: tuple[Definition, ...], site: Site) -> Callable[[Observed], dict[str, int]]:
    return lambda observed: assign_vmids(fleet, observed, site.vmid_range)


def _concerning(
    wanted: set[str], site: Site, assign: Callable[[Observed], dict[str, int]]
) -> Callable[[Observed, ObservedVm], bool]:
    """Return what tells whether a VM, which may have no name yet, is or becomes a wanted one."""
    soon = time.monotonic() + STRANGERS_PATIENCE_SECONDS

    def concerns(observed: Observed, vm: ObservedVm) -> bool:
        if vm.name:
            return vm.name in wanted
        meant_by_rule = assign(observed)
        meant = [name for name, vmid in meant_by_rule.items() if vmid == vm.vmid]
        if meant:
            return meant[0] in wanted
        if not meant_by_rule or vm.vmid not in site.vmid_range or time.monotonic() > soon:
            return False
        # A VM that is replaced keeps its VMID, which may be another than the rule gives it.
        return bool(wanted - {vm.name for vm in observed.vms})

    return concerns


def _concerned(
    observed: Observed, selected: tuple[Definition, ...], wanted: set[str], scope: Scope
) -> list[ObservedVm]:
    concerned = [vm for vm in observed.vms if vm.name in wanted or vm.abandoned or scope.also(vm)]
    there = {
        vm.name
        for vm in concerned
        if vm.is_ours and not vm.abandoned and vm.name not in scope.replaced
    }
    templates = _templates(selected, observed, there)
    found = {vm.vmid: vm for vm in (*concerned, *templates) if observed.nodes[vm.node]}
    return list(found.values())


def _lists(client: Client, readers: Readers) -> Observed:
    rows = read_nodes(client)
    nodes = {str(row["node"]): row.get("status") == "online" for row in rows}
    online = [node for node, is_online in nodes.items() if is_online]
    lists = dict(zip(online, readers.map(partial(read_vms, client), online), strict=True))
    nodes.update({node: False for node, found in lists.items() if found is None})
    vms = [_listed(node, row) for node, found in lists.items() for row in found or ()]
    if not all(nodes.values()):
        vms += _of_away(client, nodes)
    rooms = {str(r["node"]): NodeRoom(int(r["maxcpu"]), int(r["maxmem"])) for r in rows if _told(r)}
    told = {str(r["node"]): str(r["ssl_fingerprint"]) for r in rows if r.get("ssl_fingerprint")}
    return Observed(nodes, tuple(vms), rooms, certificates=told)


def _of_away(client: Client, nodes: dict[str, bool]) -> Iterator[ObservedVm]:
    """Yield the VMs of nodes that do not answer, as far as the cluster remembers them."""
    for row in client.get("/cluster/resources", type="vm"):
        node = str(row["node"])
        if row["type"] == "qemu" and nodes.get(node) is False:
            yield _listed(node, row)


def _told(row: dict[str, Any]) -> bool:
    """Tell whether a node says what it has: not to everybody, and not while it is offline."""
    return bool(row.get("maxcpu") and row.get("maxmem"))


def _listed(node: str, row: dict[str, Any]) -> ObservedVm:
    return ObservedVm(
        vmid=int(row["vmid"]),
        node=node,
        name=name_of(row),
        status="running" if row.get("status") == "running" else "stopped",
        template=str(row.get("template", "")) == "1",
        tags=tuple(sorted(tags_of(row))),
        lock=row.get("lock") or None,
        memory_bytes=int(row.get("maxmem") or 0),
        disk_bytes=int(row.get("maxdisk") or 0),
    )


def _templates(
    selected: Iterable[Definition], observed: Observed, there: set[str | None]
) -> list[ObservedVm]:
    """Return the templates that new VMs are cloned from, each once."""
    found = {
        template.vmid: template
        for definition in selected
        if definition.clone and definition.name not in there
        if (template := observed.template(definition.target_node, definition.clone))
    }
    return list(found.values())


def _read_back(vm: ObservedVm, scope: Scope) -> ObservedVm | None:
    config = scope.read_back.get(vm.vmid)
    return replace(vm, config=config) if config and _agree(vm, config) else None


def _agree(vm: ObservedVm, config: Config) -> bool:
    """Tell whether the lists, which are fresh, show nothing that has changed since."""
    sizes = {disk.size_bytes for disk in config.disks().values()}
    memory = config.values.get("memory")
    return (
        (config.name, config.tags) == (vm.name, vm.tags)
        and vm.disk_bytes in sizes
        and isinstance(memory, int)
        and vm.memory_bytes == memory * MIB
    )


def _read(client: Client, vm: ObservedVm) -> ObservedVm | None:
    config = read_config(client, vm.node, vm.vmid)
    # Name and tags say whose it is, and must be those that the digest is for.
    return replace(vm, name=config.name, config=config, tags=config.tags) if config else None


def read_config(client: Client, node: str, vmid: int) -> Config | None:
    """Read one VM's configuration with what waits for a restart; None where it is gone."""
    try:
        return decode_pending(client.get(f"/nodes/{node}/qemu/{vmid}/pending"))
    except ApiError as error:
        if "does not exist" in error.reason:
            return None
        raise
