"""Checks of the address plan: of VMs, virtual addresses and ranges, and of networks themselves."""

from collections.abc import Iterator
from itertools import combinations

from netaddr import IPAddress, IPNetwork, IPRange

from stackyard.definitions.document import Problem
from stackyard.definitions.model import Definition
from stackyard.fleet.addresses import Entry, taken, vm_addresses
from stackyard.fleet.networks import Network
from stackyard.fleet.site import Site
from stackyard.inventory.groups import role_of

OWN = {
    "network": "network address",
    "broadcast": "broadcast address",
    "gateway": "gateway",
    "DNS": "DNS server",
}
# K3s' own networks, and its option for another one.
K3S_NETWORKS = {
    "pods": (IPNetwork("10.42.0.0/16"), "cluster-cidr"),
    "services": (IPNetwork("10.43.0.0/16"), "service-cidr"),
}
# What a DNS server may well be: a virtual address and one of a load balancer's range, too.
SERVERS = {"VM", "gateway", "VIP", "range"}


def check_networks(site: Site) -> Iterator[Problem]:
    """Yield networks that overlap, and networks inside clusters that hide one of the site's."""
    path, networks = str(site.path), list(site.networks.values())
    for one, other in combinations(networks, 2):
        if _overlap(one.cidr, other.cidr):
            sentence = f"networks {one.name}, {one.cidr}, and {other.name}, {other.cidr}, overlap"
            yield Problem(path, other.line, sentence)
    for inner in site.cluster_networks:
        what = f"the {inner.kind} network {inner.cidr} of cluster {inner.cluster}"
        for network in networks:
            if _overlap(inner.cidr, network.cidr):
                sentence = f"{what} overlaps network {network.name}, {network.cidr}"
                yield Problem(path, inner.line, sentence)
    for pods, services in combinations(site.cluster_networks, 2):
        if pods.cluster == services.cluster and _overlap(pods.cidr, services.cidr):
            sentence = f"pods {pods.cidr} and services {services.cidr} of {pods.cluster} overlap"
            yield Problem(path, services.line, sentence)


def check_k3s(vms: list[Definition], site: Site) -> Iterator[Problem]:
    """Yield K3s clusters whose own networks hide one of the site's, where it says no others.

    The role leaves both networks to K3s, whose defaults are those of `k3s server --help`. One
    that is kept by hand may have been given others.
    """
    said: set[tuple[str | None, str]] = {(n.cluster, n.kind) for n in site.cluster_networks}
    hidden = [
        (kind, option, f"{kind} network, {cidr}, overlaps network {network.name}, {network.cidr}")
        for kind, (cidr, option) in K3S_NETWORKS.items()
        for network in site.networks.values()
        if _overlap(cidr, network.cidr)
    ]
    for vm in vms if hidden else ():
        role = role_of(vm.name)
        for kind, option, what in hidden:
            if role.kind == "k3s" and vm.managed and (role.cluster, kind) not in said:
                said.add((role.cluster, kind))
                do = f"give {role.cluster} another ({option} in k3s_config)"
                sentence = f"K3s' own {what}: {do}, and say which in clusters of {site.path}"
                yield vm.source.problem("name", sentence)


def check_overlaps(vms: list[Definition], site: Site) -> Iterator[Problem]:
    """Yield addresses that two have, of which at least one is no VM."""
    for network in site.networks.values():
        entries = taken(network, vms, str(site.path))
        # A DNS server that may be where it is must hide nobody else who is there.
        servers = [entry for entry in entries if entry.kind == "DNS"]
        others = [entry for entry in entries if entry.kind != "DNS"]
        widest: Entry | None = None
        for entry in others:
            if widest and entry.first <= widest.last:
                yield from _both(widest, entry, network)
            if widest is None or entry.last > widest.last:
                widest = entry
        for server in servers:
            for entry in others:
                if entry.kind not in SERVERS and entry.first <= server.first <= entry.last:
                    yield from _both(server, entry, network)


def check_pools(vms: list[Definition], site: Site) -> Iterator[Problem]:
    """Yield VMs in a pool of a site that has no networks, and thus no address plan."""
    pools = () if site.networks else tuple(site.pools.values())
    for pool in pools:
        for vm in vms:
            for key, address in vm_addresses(vm):
                if address in IPRange(pool.first, pool.last):
                    place = (
                        f"{pool.first}-{pool.last} of pool {pool.name} ({site.path}:{pool.line})"
                    )
                    sentence = f"{address} of VM {vm.name} is in {place}"
                    yield vm.source.problem(key, sentence)


def _both(one: Entry, other: Entry, network: Network) -> Iterator[Problem]:
    if one.kind == other.kind == "VM":  # told elsewhere
        return
    # The blame goes to the VM, and never to what the network itself needs.
    if one.kind == "VM" or other.kind in OWN:
        one, other = other, one
    if one.kind in OWN:
        verb = "is" if other.first == other.last else "holds"
        what = f"{verb} the {OWN[one.kind]} of network {network.name}"
    elif one.first == one.last:
        what = f"is {one.kind} {one.name} too ({one.path}:{one.line})"
    else:
        what = f"is in {_named(one)} ({one.path}:{one.line})"
    yield Problem(other.path, other.line, f"{_named(other)} {what}")


def _named(entry: Entry) -> str:
    return f"{entry} of {entry.kind} {entry.name}"


def check_prefixes(vm: Definition, site: Site) -> Iterator[Problem]:
    """Yield a VM's addresses that are outside their network, or go out by another gateway."""
    for number, config in enumerate(vm.ipconfigs):
        if config is None:
            continue
        key = f"ipconfig{number}"
        for text, gateway in ((config.ip, config.gw), (config.ip6, config.gw6)):
            if text and "/" in text:
                for sentence in _misfits(IPNetwork(text), gateway, site):
                    yield vm.source.problem(key, sentence)


def _misfits(address: IPNetwork, gateway: str | None, site: Site) -> Iterator[str]:
    networks = [n for n in site.networks.values() if n.cidr.version == address.version]
    if not networks:
        return
    network = next((n for n in networks if address.ip in n.cidr), None)
    if network is None:
        known = ", ".join(f"{n.name} {n.cidr}" for n in networks)
        yield f"{address.ip} is in no network of the site ({known})"
        return
    if address.cidr != network.cidr:
        yield f"{address} has another prefix than network {network.name}, {network.cidr}"
    given = IPAddress(gateway) if gateway else None
    if given is None or network.gateway is None or given == network.gateway:
        return
    # An IPv6 gateway is often given by its link-local address, which tells no other one.
    if not given.is_link_local() or network.gateway.is_link_local():
        yield f"the gateway of network {network.name} is {network.gateway}, not {gateway}"


def _overlap(one: IPNetwork, other: IPNetwork) -> bool:
    return one in other or other in one
