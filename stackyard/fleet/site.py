"""`inventory/site.yml`: the nodes, networks and VMIDs that a site has."""

import os
import sys
from collections.abc import Iterator
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackyard.definitions.document import DocumentError, Mapping, Problem, read_document
from stackyard.definitions.key_reader import Report, check_keys, take_all
from stackyard.definitions.keys import CONFIG_ID, Key
from stackyard.definitions.load import DefinitionsError
from stackyard.definitions.reading import read_text
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
    loaded, problems = read_site(site)
    if problems:
        raise DefinitionsError(problems)
    return loaded


def read_site(site: Path) -> tuple[Site, tuple[Problem, ...]]:
    """Return what could be read of a site's inventory/site.yml, and every mistake.

    What a mistake leaves open limits nobody, so that later checks can add theirs.
    """
    path = site / FILE
    report = Report(str(path))
    document = _document(path, report)
    report.problems += _misnamed(path)
    check_keys(document, KEYS, report)
    nodes = [_node(name, value, report) for name, value in _each(document, "nodes", report)]
    nodes = _all_or_none(document, "nodes", nodes)
    networks = [
        network
        for name, value in _each(document, "networks", report)
        if (network := read_network(name, value, report))
    ]
    networks = _all_or_none(document, "networks", networks)
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
    found = Site(
        path,
        {node.name: node for node in nodes},
        {network.name: reserve(network, pools) for network in networks},
        vmids,
        tuple(inner),
        {pool.name: pool for pool in pools},
    )
    return found, tuple(report.problems)


def _document(path: Path, report: Report) -> Mapping:
    text = None if _is_absent(path) else read_text(path, report)
    if text is None:
        return Mapping(1)
    try:
        document = read_document(text)
    except DocumentError as error:
        report.add(error.line, str(error))
        return Mapping(1)
    if isinstance(document, Mapping):
        return document
    report.add(1, f"must be a mapping with {', '.join(KEYS)}")
    return Mapping(1)


def _misnamed(path: Path) -> Iterator[Problem]:
    """Yield the file that somebody may take for this one."""
    other = path.with_suffix(".yaml")
    if os.path.lexists(other):
        is_there = os.path.lexists(path)
        advice = f"{path.name} is, so remove it" if is_there else f"call it {path.name}"
        yield Problem(str(other), 1, f"is not read: {advice}")


def _is_absent(path: Path) -> bool:
    """Whether a site has no such file, which is no mistake; one that cannot be reached is."""
    try:
        path.lstat()
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return False


def _all_or_none(document: Mapping, key: str, found: list[Any]) -> list[Any]:
    """Return what was read under a key, if all was: a VM may be on just the one that was not."""
    given = document.get(key)
    return found if isinstance(given, Mapping) and len(found) == len(given) else []


def _each(document: Mapping, key: str, report: Report) -> list[tuple[str, Mapping]]:
    entries = document.get(key)
    if entries is None:
        return []
    if not isinstance(entries, Mapping):
        report.add(document.line_of(key), f"{key} must be a mapping of names")
        return []
    for name, value in entries.items():
        if not isinstance(value, Mapping):
            report.add(entries.line_of(name), f"{name} in {key} must be a mapping")
    return [(name, value) for name, value in entries.items() if isinstance(value, Mapping)]


def _node(name: str, value: Mapping, report: Report) -> Node:
    taken = take_all(value, NODE_KEYS, report, f" of node {name}")
    # What a mistake says of a node limits no VM, so that it is the only one told.
    limits = {key: taken[key] or sys.maxsize for key in ("threads", "memory_mib")}
    return Node(name, **limits, storages=taken["storages"])


def _range(document: Mapping, report: Report) -> range:
    value = document.get("vmid_range")
    if value is None:
        return VMIDS
    line = document.line_of("vmid_range")
    if not isinstance(value, Mapping):
        report.add(line, "vmid_range must be a mapping with first and last")
        return VMIDS
    taken = take_all(value, RANGE_KEYS, report, " of vmid_range")
    if taken["first"] > taken["last"]:
        report.add(line, f"vmid_range is empty: {taken['first']} is more than {taken['last']}")
    return range(taken["first"], taken["last"] + 1)
