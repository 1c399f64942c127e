"""What an inventory wants to know of VMs: one list call, and one more for each that can say.

The list is `GET /cluster/resources`, which has pools and tags of all VMs at once and may be up to
ten seconds old; a VM that was made since is not in it yet. The other call asks the guest agent
for its addresses, with at most `POOL_SIZE` in flight.
"""

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from stackyard.plan.observed import TAG
from stackyard.proxmox.client import Client
from stackyard.proxmox.errors import ApiError
from stackyard.proxmox.transport import POOL_SIZE


@dataclass(frozen=True, slots=True)
class Fact:
    """One VM as it is; `addresses` are the agent's, without loopback and link-local ones."""

    name: str
    vmid: int
    node: str
    status: str  # running, stopped or paused; unknown where its node does not answer
    tags: tuple[str, ...] = ()
    pool: str | None = None
    addresses: tuple[str, ...] | None = None  # None: nobody asked, or no agent answered


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which VMs an inventory is about."""

    managed: Collection[str] = ()  # by name, and ours by their tag
    unmanaged: Collection[str] = ()  # by name alone
    with_agent: Collection[str] = ()  # of those, whom to ask for addresses
    tags: Collection[str] = ()  # and every other VM with one of these tags
    pools: Collection[str] = ()  # or in one of these pools


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found, and sentences about what was not."""

    vms: tuple[Fact, ...]
    notes: tuple[str, ...] = ()


def read_facts(client: Client, wanted: Wanted) -> Facts:
    """Read the VMs that are wanted.

    Raises:
        ProxmoxError: Proxmox refused the list, or did not answer.
    """
    rows = [row for row in client.get("/cluster/resources", type="vm") if _is_vm(row)]
    notes: list[str] = []
    found = list(_chosen(rows, wanted, notes))
    asked = [fact for fact in found if _can_say(fact, wanted)]
    with ThreadPoolExecutor(POOL_SIZE) as pool:
        answers = list(pool.map(lambda fact: _addresses(client, fact), asked))
    said = dict(zip((fact.vmid for fact in asked), answers, strict=True))
    notes += sorted({answer for answer in answers if isinstance(answer, str)})
    return Facts(tuple(_with(fact, said.get(fact.vmid)) for fact in found), tuple(notes))


def _is_vm(row: Mapping[str, Any]) -> bool:
    """Leave out containers, templates, and what is so new that it has no name in the list yet."""
    is_qemu = row.get("type") == "qemu" and str(row.get("template", 0)) != "1"
    return is_qemu and bool(row.get("name"))


def _chosen(rows: Iterable[Mapping[str, Any]], wanted: Wanted, notes: list[str]) -> Iterator[Fact]:
    seen: dict[str, Fact] = {}
    for fact in sorted(map(_fact, rows), key=lambda fact: fact.vmid):
        if not _is_wanted(fact, wanted):
            continue
        first = seen.setdefault(fact.name, fact)
        if first is fact:
            yield fact
        else:
            notes.append(f"VMs {first.vmid} and {fact.vmid} are both called {fact.name}: one host")


def _fact(row: Mapping[str, Any]) -> Fact:
    tags = str(row.get("tags") or "").replace(",", ";").replace(" ", ";")
    return Fact(
        name=str(row["name"]),
        vmid=int(row["vmid"]),
        node=str(row["node"]),
        status=str(row.get("status", "unknown")),
        tags=tuple(sorted(tag for tag in tags.split(";") if tag)),
        pool=row.get("pool") or None,
    )


def _is_wanted(fact: Fact, wanted: Wanted) -> bool:
    if fact.name in wanted.managed:
        return TAG in fact.tags
    if fact.name in wanted.unmanaged:
        return True
    return fact.pool in wanted.pools or not set(wanted.tags).isdisjoint(fact.tags)


def _can_say(fact: Fact, wanted: Wanted) -> bool:
    is_foreign = fact.name not in wanted.managed and fact.name not in wanted.unmanaged
    return fact.status == "running" and (is_foreign or fact.name in wanted.with_agent)


def _addresses(client: Client, fact: Fact) -> tuple[str, ...] | str | None:
    """Return the agent's addresses, None where it does not answer, or why nobody could ask."""
    path = f"/nodes/{fact.node}/qemu/{fact.vmid}/agent/network-get-interfaces"
    try:
        answer = client.get(path)
    except ApiError as error:
        # 500 is every agent's usual silence: not configured, not installed, not up yet.
        return None if error.status == HTTPStatus.INTERNAL_SERVER_ERROR else str(error)
    return tuple(_usable(answer.get("result") or ()))


def _usable(interfaces: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for interface in interfaces:
        for entry in interface.get("ip-addresses") or ():
            address = ipaddress.ip_address(str(entry["ip-address"]).partition("%")[0])
            if not address.is_loopback and not address.is_link_local:
                yield str(address)


def _with(fact: Fact, answer: tuple[str, ...] | str | None) -> Fact:
    if not isinstance(answer, tuple):
        return fact
    return Fact(fact.name, fact.vmid, fact.node, fact.status, fact.tags, fact.pool, answer)
