"""The networks of `inventory/site.yml`, with their ranges and virtual addresses."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from netaddr import AddrFormatError, IPAddress, IPNetwork

from stackyard.definitions.document import Mapping
from stackyard.definitions.key_reader import Report, check_keys, take
from stackyard.definitions.keys import Key
from stackyard.definitions.values import shown

IPV6 = 6
ADDRESS = "an address"
NETWORK_KEYS = (
    Key("cidr", "string", "The network.", ..., form="a CIDR as 10.0.0.0/24"),
    Key("gateway", "string", "The gateway.", form=ADDRESS),
    Key("dns", "string", "The DNS server.", form=ADDRESS),
)
CLUSTER_KEYS = (
    Key("pods", "string", "The network of a cluster's pods.", form="a CIDR as 10.42.0.0/16"),
    Key("services", "string", "The network of a cluster's services.",
        form="a CIDR as 10.43.0.0/16"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses that no VM gets: of a load balancer, of other clusters, or one virtual address."""

    name: str
    kind: str  # "range", "pool", or "VIP" with one address
    first: IPAddress
    last: IPAddress
    line: int  # in site.yml


@dataclass(frozen=True, slots=True)
class Network:
    """A network that VMs have addresses in."""

    name: str
    cidr: IPNetwork
    gateway: IPAddress | None = None
    dns: IPAddress | None = None
    ranges: tuple[Range, ...] = ()
    line: int = 1  # in site.yml


@dataclass(frozen=True, slots=True)
class ClusterNetwork:
    """A network inside a cluster, which must not hide one that its machines are in."""

    cluster: str
    kind: str  # "pods" or "services"
    cidr: IPNetwork
    line: int  # in site.yml


def read_network(name: str, value: Mapping, report: Report) -> Network | None:
    """Return a network; its mistakes are reported."""
    where = f" of network {name}"
    check_keys(value, (*(key.name for key in NETWORK_KEYS), "ranges", "vips"), report, where)
    cidr, gateway, dns = (_parsed(value, key, report, where) for key in NETWORK_KEYS)
    if cidr is None:
        return None
    if gateway and gateway not in cidr and not _is_next_door(gateway, cidr):
        line = value.line_of("gateway")
        report.add(line, f"the gateway {gateway} of network {name} is not in {cidr}")
    network = Network(name, cidr, gateway, dns, line=value.line)
    ranges = [
        *_ranges(value, "ranges", "range", network, report),
        *_ranges(value, "vips", "VIP", network, report),
    ]
    return replace(network, ranges=tuple(ranges))


def _ranges(
    value: Mapping, key: str, kind: str, network: Network, report: Report
) -> Iterator[Range]:
    entries = value.get(key)
    if entries is None:
        return
    if not isinstance(entries, Mapping):
        sentence = f"{key} of network {network.name} must be a mapping of names to addresses"
        report.add(value.lines[key], sentence)
        return
    for name, text in entries.items():
        line = entries.line_of(name)
        span = _span(text)
        if span is None or (kind == "VIP" and span[0] != span[1]):
            form = "an address" if kind == "VIP" else "FIRST-LAST, a CIDR or an address"
            report.add(line, f"{kind} {name} must be {form}, not {shown(text)}")
        elif span[0] not in network.cidr or span[1] not in network.cidr:
            sentence = f"{kind} {name}, {text}, is not in network {network.name}, {network.cidr}"
            report.add(line, sentence)
        else:
            yield Range(name, kind, *span, line)


def _span(text: Any) -> tuple[IPAddress, IPAddress] | None:
    if not isinstance(text, str):
        return None
    try:
        if "/" in text:
            network = IPNetwork(text)
            return IPAddress(network.first), IPAddress(network.last)
        first, _, last = (part.strip() for part in text.partition("-"))
        span = IPAddress(first), IPAddress(last or first)
    except (AddrFormatError, ValueError):
        return None
    return span if span[0].version == span[1].version and span[0] <= span[1] else None


def _is_next_door(gateway: IPAddress, cidr: IPNetwork) -> bool:
    """Tell whether a gateway outside a network is one all the same, as routers of IPv6 are."""
    return bool(gateway.version == cidr.version == IPV6 and gateway.is_link_local())


def _network(text: str) -> IPNetwork:
    """Return a network.

    Raises:
        ValueError: it has no prefix, and would be one of a single address.
        AddrFormatError: it is none.
    """
    if "/" not in text:
        raise ValueError(text)
    return IPNetwork(text)


def read_cluster(name: str, value: Mapping, report: Report) -> Iterator[ClusterNetwork]:
    """Yield the networks inside a cluster; its mistakes are reported."""
    where = f" of cluster {name}"
    check_keys(value, [key.name for key in CLUSTER_KEYS], report, where)
    for key in CLUSTER_KEYS:
        cidr = _parsed(value, key, report, where)
        if cidr is not None:
            yield ClusterNetwork(name, key.name, cidr, value.line_of(key.name))


def _parsed(value: Mapping, key: Key, report: Report, where: str) -> Any:
    """Return the network or the address under a key; None where it is no such, or absent."""
    text = take(value, key, report, where)
    if text is None:
        return None
    try:
        return IPAddress(text) if key.form == ADDRESS else _network(text)
    except (AddrFormatError, ValueError):
        line = value.line_of(key.name)
        report.add(line, f"{key.name}{where} must be {key.form}, not {shown(text)}")
        return None
