"""`inventory/site.yml`: the nodes, networks and VMIDs that a site has."""

from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackyard.definitions.document import DocumentError, Mapping, read_document
from stackyard.definitions.keys import CONFIG_ID, Key
from stackyard.definitions.load import DefinitionsError
from stackyard.definitions.values import Report, check_keys, take
from stackyard.fleet.networks import ClusterNetwork, Network, read_cluster, read_network
from stackyard.fleet.pools import Pool, check_pools, read_pool, reserve

FILE = Path("inventory", "site.yml")
KEYS = ("nodes", "networks", "clusters", "pools", "vmid_range")
VMIDS = range(1000, 10000)
NODE_KEYS = (
    Key("threads", "integer", "CPU threads.", ..., minimum=1),
    Key("memory", "integer", "Memory in MiB.", ..., field="memory_mib", minimum=1),
    Key("storages", "list", "Storages.", (), pattern=CONFIG_ID, form="a storage's name"),
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
class Site:
    """What a site has; a site without the file has nothing to check against."""

    path: Path
    nodes: MappingType[str, Node]
    networks: MappingType[str, Network]
    vmid_range: range = VMIDS
    cluster_networks: tuple[ClusterNetwork, ...] = ()
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
        report.add(1, f"must be a mapping with {', '.join(KEYS)}")
        raise DefinitionsError(report.problems)
    check_keys(document, KEYS, report)
    nodes = {name: _node(name, value, report) for name, value in _each(document, "nodes", report)}
    networks = [
        network
        for name, value in _each(document, "networks", report)
        if (network := read_network(name, value, report))
    ]
    inner = [
        network
        for name, value in _each(document, "clusters", report)
        for network in read_cluster(name, value, report)
    ]
    pools = [
        pool
        for name, value in _each(document, "pools", report)
        if (pool := read_pool(name, value, report))
    ]
    check_pools(pools, networks, report)
    vmids = _range(document, report)
    if report.problems:
        raise DefinitionsError(report.problems)
    by_name = {network.name: reserve(network, pools) for network in networks}
    return Site(path, nodes, by_name, vmids, tuple(inner), {pool.name: pool for pool in pools})


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
