"""The address plan: who has which address of a network, and which ones are free. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netaddr import IPAddress, IPNetwork

from stackyard.definitions.model import Definition
from stackyard.errors import StackyardError
from stackyard.fleet.networks import Network

IPV4 = 4


class AddressError(StackyardError):
    """There is no such network, or no free address in it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Addresses of a network and whose they are."""

    first: IPAddress
    last: IPAddress
    kind: str  # network, broadcast, gateway, DNS, VIP, range, pool, VM or free
    name: str
    path: str = ""
    line: int = 1

    @property
    def count(self) -> int:
        """How many addresses."""
        return int(self.last) - int(self.first) + 1

    def __str__(self) -> str:
        """Return the address, or the first and the last."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def vm_addresses(vm: Definition) -> list[tuple[str, IPAddress]]:
    """Return a VM's fixed addresses, each with the key that gives it."""
    return [
        (f"ipconfig{number}", IPNetwork(text).ip)
        for number, config in enumerate(vm.ipconfigs)
        if config
        for text in (config.ip, config.ip6)
        if text and "/" in text
    ]


def taken(network: Network, vms: Iterable[Definition], site: str) -> list[Entry]:
    """Return who has which address of a network, by address; `site` is the path of site.yml."""
    entries = [
        *_of_the_network(network, site),
        *(
            Entry(each.first, each.last, each.kind, each.name, site, each.line)
            for each in network.ranges
        ),
        *(
            Entry(address, address, "VM", vm.name, *vm.source.place(key))
            for vm in vms
            for key, address in vm_addresses(vm)
            if address in network.cidr
        ),
    ]
    return sorted(entries, key=lambda entry: (entry.first, entry.last, entry.kind))


def _of_the_network(network: Network, site: str) -> Iterator[Entry]:
    cidr = network.cidr
    owns = [("gateway", network.gateway), ("DNS", network.dns)]
    # A network of two addresses or one, /31 and /32, has none to lose (RFC 3021).
    if cidr.broadcast is not None:
        owns.append(("network", cidr.network))
    if cidr.broadcast is not None and cidr.version == IPV4:
        owns.append(("broadcast", cidr.broadcast))
    for kind, address in owns:
        if address is not None and address in cidr:
            yield Entry(address, address, kind, network.name, site, network.line)


def free(network: Network, entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield what nobody has, in whole gaps, for networks of any size."""
    position, end = network.cidr.first, network.cidr.last
    for entry in entries:
        if int(entry.first) > position:
            yield _gap(position, int(entry.first) - 1, network)
        position = max(position, int(entry.last) + 1)
    if position <= end:
        yield _gap(position, end, network)


def _gap(first: int, last: int, network: Network) -> Entry:
    base, start = network.cidr.network, network.cidr.first
    return Entry(base + (first - start), base + (last - start), "free", "")


def next_free(network: Network, entries: Iterable[Entry]) -> IPAddress:
    """Return the lowest address that nobody has.

    Raises:
        AddressError: all are taken.
    """
    gap = next(free(network, entries), None)
    if gap is None:
        raise AddressError(f"network {network.name}, {network.cidr}, has no free address")
    return gap.first
