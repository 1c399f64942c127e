"""Facts for an inventory's hosts, with the fewest calls: lists, then one call a running VM.

`GET /nodes/N/qemu` tells what runs now; `GET /cluster/resources`, which lags by up to ten seconds,
adds the pools and the VMs of nodes that do not answer. A guest agent is asked for the addresses of
each VM that is a host. N hosts take at most N + nodes + 2 requests, 16 in flight.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Any

from urllib3.exceptions import ReadTimeoutError

from stackyard.inventory import Host, Inventory
from stackyard.proxmox.client import Client
from stackyard.proxmox.errors import ApiError, ProxmoxError
from stackyard.proxmox.facts import UNKNOWN, Facts, interfaces_of
from stackyard.proxmox.nodes import UNREACHABLE, name_of, read_nodes, read_vms, tags_of
from stackyard.proxmox.overlay import Include, is_managed, match, may_be
from stackyard.proxmox.reading import Readers, reading, result_of
from stackyard.proxmox.settings import Settings
from stackyard.proxmox.unanswered import was_broken

_BROKEN = 596  # behind pveproxy, as by an answer that it cannot read
_GATEWAY = range(502, 505)


@dataclass(frozen=True, slots=True)
class Live:
    """The facts by host, and what could not be seen: in sentences, and by host.

    `missing` tells of VMs that are to be hosts, and cannot be; `unsure` are the hosts whose VMs may
    be on nodes that do not answer.
    """

    facts: Mapping[str, Facts]
    warnings: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unsure: frozenset[str] = frozenset()


def read_live(environ: Mapping[str, str], desired: Inventory, include: Include) -> Live:
    """Read the facts of these hosts, and of the VMs that are to be hosts beside them.

    Raises:
        SettingsError: the environment does not say how to reach Proxmox.
        ProxmoxError: Proxmox refused or did not answer; see `is_down`.
        InventoryError: two VMs would be the same host.
    """
    with Client(Settings.from_environment(environ)) as client:
        return gather(client, desired, include)


def gather(client: Client, desired: Inventory, include: Include) -> Live:
    """Do `read_live` with a client that is there already."""
    with reading(client) as readers:
        vms, silent = _vms(client, readers)
        found = match(desired, vms, include)
        asked = [name for name, vm in found.items() if _needs_agent(desired.hosts.get(name), vm)]
        answers = readers.map(_agent(client), (found[name] for name in asked))
        agents = dict(zip(asked, answers, strict=True))
    seen = {name: agent for name, agent in agents.items() if isinstance(agent, tuple)}
    facts = {name: replace(vm, interfaces=seen.get(name, ())) for name, vm in found.items()}
    refused = [agent for agent in agents.values() if isinstance(agent, ApiError)]
    forgotten = [vm for vm in vms if vm.is_forgotten]
    unsure = _unsure(desired, found, forgotten, silent)
    left_out = _left_out(desired, unsure, filter(include.takes, forgotten))
    blind = tuple(_blind(desired, vms))
    # Of those that are to be hosts without a definition none is left then.
    missing = (*(blind if include.is_wanted else ()), *left_out)
    warnings = (
        *(() if include.is_wanted else blind),
        *_silent(found, unsure),
        *_forbidden(refused, len(asked)),
        *_unheard(refused, len(asked)),
    )
    return Live(facts, warnings, missing, frozenset(unsure))


def is_down(error: ProxmoxError) -> bool:
    """Tell whether nobody answered, rather than somebody we do not trust or who refused us."""
    if isinstance(error, ApiError):
        return _is_unreachable(error)
    return was_broken(error.__cause__) or isinstance(error.__cause__, ReadTimeoutError)


def _vms(client: Client, readers: Readers) -> tuple[list[Facts], frozenset[str]]:
    """Return all VMs, and the nodes that do not answer.

    A VM that moves while the lists are read may be in none, so that they are read once more.
    """
    vms, silent, lost = _look(client, readers)
    return _look(client, readers)[:2] if lost else (vms, silent)


def _look(client: Client, readers: Readers) -> tuple[list[Facts], frozenset[str], Collection[int]]:
    """Return all VMs, the nodes that do not answer, and the VMIDs that no list has."""
    resources = readers.begin(lambda: client.get("/cluster/resources", type="vm"))
    status = {row["node"]: row.get("status") for row in read_nodes(client)}
    nodes = [node for node in status if status[node] == "online"]
    listed = dict(zip(nodes, readers.map(partial(read_vms, client), nodes), strict=True))
    rows = {int(row["vmid"]): row for row in result_of(resources) if row.get("type") == "qemu"}
    pools = {vmid: row.get("pool") for vmid, row in rows.items()}
    fresh = [_facts(node, row, pools) for node, found in listed.items() for row in found or ()]
    unseen = [
        replace(_facts(row["node"], row, pools), status=UNKNOWN)
        for row in rows.values()
        if listed.get(row["node"]) is None
    ]
    silent = frozenset(node for node in status if listed.get(node) is None)
    vms = {vm.vmid: vm for vm in (*unseen, *fresh)}
    return list(vms.values()), silent, rows.keys() - vms.keys()


def _facts(node: str, row: Mapping[str, Any], pools: Mapping[int, str | None]) -> Facts:
    vmid = int(row["vmid"])
    return Facts(
        vmid=vmid,
        node=node,
        name=name_of(row),
        status=str(row.get("status", UNKNOWN)),
        template=str(row.get("template", "")) == "1",
        tags=tuple(tags_of(row)),
        lock=row.get("lock") or None,
        pool=pools.get(vmid) or None,
    )


def _needs_agent(host: Host | None, vm: Facts) -> bool:
    """Tell whether an agent can answer: one that a definition of ours leaves out cannot."""
    if vm.status != "running":
        return False
    if host is None:
        return True
    return bool(host.definition.get("agent")) or not is_managed(host)


def _agent(client: Client) -> Callable[[Facts], tuple[Mapping[str, Any], ...] | ApiError]:
    """Ask an agent; one that does not answer is no error, but says nothing about addresses."""

    def ask(vm: Facts) -> tuple[Mapping[str, Any], ...] | ApiError:
        try:
            answer = client.get(f"/nodes/{vm.node}/qemu/{vm.vmid}/agent/network-get-interfaces")
        except ApiError as error:
            return error
        return interfaces_of(answer)

    return ask


def _blind(desired: Inventory, vms: list[Facts]) -> Iterator[str]:
    """Proxmox shows a token without permissions an empty list, not an error."""
    if desired.hosts and not vms:
        yield (
            "Proxmox shows no VM at all: it has none, or the token lacks the privilege VM.Audit "
            "(a token with privilege separation has only permissions of its own)"
        )


def _unsure(
    desired: Inventory, found: Mapping[str, Facts], forgotten: list[Facts], silent: frozenset[str]
) -> dict[str, str]:
    """Return by the hosts whose VMs no list names the nodes in silence that these may be on.

    That is the one a VM is wanted on, or else one with a VM that may be it.
    """
    vmids = _vmids(desired)
    unsure = {}
    for name, host in desired.hosts.items():
        if name in found:
            continue
        wanted = host.definition["target_node"]
        if wanted in silent:
            unsure[name] = wanted
        elif vm := next((vm for vm in forgotten if may_be(host, vm, vmids)), None):
            unsure[name] = vm.node
    return unsure


def _vmids(desired: Inventory) -> set[int]:
    hosts = desired.hosts.values()
    return {host.definition["vmid"] for host in hosts if "vmid" in host.definition}


def _silent(found: Mapping[str, Facts], unsure: Mapping[str, str]) -> Iterator[str]:
    unknown = [vm.node for vm in found.values() if vm.status == UNKNOWN]
    unknown += unsure.values()
    for node in sorted(set(unknown)):
        count = unknown.count(node)
        yield f"{node} does not answer: what {count} hosts that may be there do is unknown"


def _left_out(
    desired: Inventory, unsure: Collection[str], forgotten: Iterable[Facts]
) -> Iterator[str]:
    """Tell of those among the VMs to be included that can be no definition's."""
    vmids, unnamed = _vmids(desired), []
    # First those that are ours: the others may be any.
    hosts = sorted((desired.hosts[name] for name in unsure), key=is_managed, reverse=True)
    for vm in forgotten:
        host = next((host for host in hosts if may_be(host, vm, vmids)), None)
        if host:
            hosts.remove(host)  # which has no other VM
        else:
            unnamed.append(vm.node)
    for node in sorted(set(unnamed)):
        yield (
            f"{node} does not answer, and Proxmox has forgotten the names of its VMs: of those "
            f"that include_tags and include_pools name, {unnamed.count(node)} are left out, which "
            "may be templates"
        )


def _forbidden(refused: list[ApiError], asked: int) -> Iterator[str]:
    forbidden = [error for error in refused if error.status == HTTPStatus.FORBIDDEN]
    if forbidden:
        yield (
            f"this token may not ask {len(forbidden)} of {asked} guest agents, so that their "
            f"addresses are missing: {forbidden[0]}"
        )


def _unheard(refused: list[ApiError], asked: int) -> Iterator[str]:
    """Tell of agents whose nodes fell silent after they had told the rest."""
    unheard = [e for e in refused if _is_unreachable(e) and e.status != _BROKEN]
    if unheard:
        yield (
            f"{len(unheard)} of {asked} guest agents could not be asked, so that their addresses "
            f"are missing: {unheard[0]}"
        )


def _is_unreachable(error: ApiError) -> bool:
    return error.status in UNREACHABLE or error.status in _GATEWAY
