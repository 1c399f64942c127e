"""`inventory/site.yml`: the nodes, networks and VMIDs that a site has."""

from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netaddr import AddrFormatError, IPAddress, IPNetwork

from stackyard.definitions.document import DocumentError, Mapping, read_document
from stackyard.definitions.keys import CONFIG_ID, Key
from stackyard.definitions.load import DefinitionsError
from stackyard.definitions.values import Report, check_keys, take
from stackyard.fleet.pools import Pool, check_overlaps, read_pool

FILE = Path("inventory", "site.yml")
VMIDS = range(1000, 10000)
NODE_KEYS = (
    Key("threads", "integer", "CPU threads.", ..., minimum=1),
    Key("memory", "integer", "Memory in MiB.", ..., field="memory_mib", minimum=1),
    Key("storages", "list", "Storages.", (), pattern=CONFIG_ID, form="a storage's name"),
)
NETWORK_KEYS = (
    Key("cidr", "string", "The network.", ...),
    Key("gateway", "string", "The gateway."),
    Key("dns", "string", "The DNS server."),
)
RANGE_KEYS = (
    Key("first", "integer", "First VMID.", VMIDS.start, minimum=100, maximum=999999999),
    Key("last", "integer", "Last VMID.", VMIDS.stop - 1, minimum=100, maximum=999999999),
)


@dataclass(frozen=True, slots=True)
class Node:
    """A Proxmox node; without storages any storage may be named."""

    name: str
    threads: int
    memory_mib: int
    storages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Network:
    """A network that VMs have addresses in."""

    name: str
    cidr: IPNetwork
    gateway: IPAddress | None = None
    dns: IPAddress | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """What a site has; a site without the file has nothing to check against."""

    path: Path
    nodes: MappingType[str, Node]
    networks: MappingType[str, Network]
    vmid_range: range = VMIDS
    pools: MappingType[str, Pool] = field(default_factory=dict)


def load_site(site: Path) -> Site:
    """Return what a site's inventory/site.yml says; its absence is allowed.

    Raises:
        DefinitionsError: with every mistake of the file.
    """
    path = site / FILE
    report = Report(str(path))
    try:
        document = read_document(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return Site(path, {}, {})
    except (OSError, UnicodeDecodeError, DocumentError) as error:
        report.add(getattr(error, "line", 1), f"cannot be read: {error}")
        raise DefinitionsError(report.problems) from None
    if not isinstance(document, Mapping):
        report.add(1, "must be a mapping with nodes, networks, pools and vmid_range")
        raise DefinitionsError(report.problems)
    check_keys(document, ("nodes", "networks", "pools", "vmid_range"), report)
    nodes = {name: _node(name, value, report) for name, value in _each(document, "nodes", report)}
    networks = [
        network
        for name, value in _each(document, "networks", report)
        if (network := _network(name, value, report))
    ]
    pools = _pools(document, report)
    vmids = _range(document, report)
    if report.problems:
        raise DefinitionsError(report.problems)
    return Site(path, nodes, {network.name: network for network in networks}, vmids, pools)


def _each(document: Mapping, key: str, report: Report) -> list[tuple[str, Mapping]]:
    entries = document.get(key)
    if entries is None:
        return []
    if not isinstance(entries, Mapping):
        report.add(document.lines.get(key, 1), f"{key} must be a mapping of names")
        return []
    for name, value in entries.items():
        if not isinstance(value, Mapping):
            report.add(entries.lines.get(name, entries.line), f"{name} in {key} must be a mapping")
    return [(name, value) for name, value in entries.items() if isinstance(value, Mapping)]


def _taken(value: Mapping, keys: tuple[Key, ...], where: str, report: Report) -> dict[str, Any]:
    check_keys(value, [key.name for key in keys], report, where)
    return {key.field or key.name: take(value, key, report, where) for key in keys}


def _node(name: str, value: Mapping, report: Report) -> Node:
    return Node(name, **_taken(value, NODE_KEYS, f" of node {name}", report))


def _network(name: str, value: Mapping, report: Report) -> Network | None:
    taken = _taken(value, NETWORK_KEYS, f" of network {name}", report)
    try:
        cidr = IPNetwork(taken["cidr"])
        gateway, dns = (IPAddress(taken[k]) if taken[k] else None for k in ("gateway", "dns"))
    except (AddrFormatError, ValueError, TypeError):
        report.add(value.line, f"network {name} needs cidr, gateway and dns as addresses")
        return None
    if gateway and gateway not in cidr:
        line = value.lines.get("gateway", value.line)
        report.add(line, f"the gateway {gateway} of network {name} is not in {cidr}")
    return Network(name, cidr, gateway, dns)


def _pools(document: Mapping, report: Report) -> dict[str, Pool]:
    found = _each(document, "pools", report)
    pools = [pool for name, value in found if (pool := read_pool(name, value, report))]
    check_overlaps(pools, {name: value.line for name, value in found}, report)
    return {pool.name: pool for pool in pools}


def _range(document: Mapping, report: Report) -> range:
    value = document.get("vmid_range")
    if value is None:
        return VMIDS
    line = document.lines.get("vmid_range", 1)
    if not isinstance(value, Mapping):
        report.add(line, "vmid_range must be a mapping with first and last")
        return VMIDS
    taken = _taken(value, RANGE_KEYS, " of vmid_range", report)
    if taken["first"] > taken["last"]:
        report.add(line, f"vmid_range is empty: {taken['first']} is more than {taken['last']}")
    return range(taken["first"], taken["last"] + 1)
