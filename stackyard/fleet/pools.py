"""`pools` of `inventory/site.yml`: ranges from which clusters that come and go take addresses."""

import datetime as dt
import re
from dataclasses import dataclass, replace
from itertools import combinations

from netaddr import AddrFormatError, IPAddress

from stackyard.definitions.document import Mapping
from stackyard.definitions.key_reader import Report, take_all
from stackyard.definitions.keys import Key
from stackyard.fleet.networks import Network, Range

STORE = "vault:kv/ephemeral-clusters/ip-allocations"
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
LONGEST = dt.timedelta(days=3650)
DURATION = rf"([1-9]\d{{0,6}})([{''.join(UNITS)}])"
POOL_KEYS = (
    Key("first", "string", "First address.", ...),
    Key("last", "string", "Last address.", ...),
    Key("block", "integer", "Consecutive addresses a cluster takes.", 1, minimum=1, maximum=4096),
    Key("ttl", "string", "How long an allocation lives without being renewed.",
        pattern=DURATION, form="a time as 45m, 24h or 7d"),
    Key("store", "string", "Where the allocations are kept.", STORE,
        pattern=r"(vault|sops|file|k8s):.+", form="a store as vault:MOUNT/PATH or file:PATH"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pool:
    """A range cut into blocks of equal size; what is left over at its end is never given away."""

    name: str
    first: IPAddress
    last: IPAddress
    block: int = 1
    ttl: dt.timedelta | None = None
    store: str = STORE
    line: int = 1  # in site.yml

    @property
    def capacity(self) -> int:
        """The number of whole blocks."""
        return (int(self.last) - int(self.first) + 1) // self.block

    def index(self, address: IPAddress) -> int | None:
        """Return the number of the block that an address is in, None where it is in none."""
        if address.version != self.first.version:
            return None
        index = (int(address) - int(self.first)) // self.block
        return index if 0 <= index < self.capacity else None

    def addresses(self, index: int) -> tuple[IPAddress, ...]:
        """Return the addresses of a block; the first one is the cluster's VIP."""
        start = int(self.first) + index * self.block
        return tuple(IPAddress(start + n, self.first.version) for n in range(self.block))


def duration(text: str) -> dt.timedelta | None:
    """Return the time that a text as 45m, 24h or 7d says; None for others, and above 3650d."""
    match = re.fullmatch(DURATION, text)
    found = dt.timedelta(**{UNITS[match[2]]: int(match[1])}) if match else LONGEST * 2
    return found if found <= LONGEST else None


def read_pool(name: str, value: Mapping, report: Report) -> Pool | None:
    """Return the pool that an entry describes; mistakes are reported and give None."""
    where = f" of pool {name}"
    taken = take_all(value, POOL_KEYS, report, where)
    try:
        first, last = (IPAddress(taken[key]) for key in ("first", "last"))
    except (AddrFormatError, ValueError, TypeError):
        report.add(value.line, f"pool {name} needs first and last as addresses")
        return None
    ttl = duration(taken["ttl"]) if taken["ttl"] else None
    if taken["ttl"] and ttl is None:
        report.add(value.lines["ttl"], f"ttl of pool {name} is more than 3650d")
    pool = Pool(name, first, last, taken["block"], ttl, taken["store"], value.line)
    if first.version != last.version or pool.capacity < 1:
        report.add(value.line, f"pool {name} has no block of {pool.block} from {first} to {last}")
        return None
    return pool


def check_pools(pools: list[Pool], networks: list[Network], report: Report) -> None:
    """Report pools that would give the same address away twice, or are in no network."""
    for one, other in combinations(pools, 2):
        # netaddr orders addresses of version 4 before those of version 6.
        if one.first <= other.last and other.first <= one.last:
            report.add(other.line, f"the pools {one.name} and {other.name} overlap")
    for pool in pools:
        if networks and not any(_is_in(pool, network) for network in networks):
            span = f"{pool.first}-{pool.last}"
            report.add(pool.line, f"pool {pool.name}, {span}, is in no network of the site")


def reserve(network: Network, pools: list[Pool]) -> Network:
    """Return the network with its pools among the ranges that no VM may be in."""
    ranges = (
        Range(pool.name, "pool", pool.first, pool.last, pool.line)
        for pool in pools
        if _is_in(pool, network)
    )
    return replace(network, ranges=(*network.ranges, *ranges))


def _is_in(pool: Pool, network: Network) -> bool:
    return pool.first in network.cidr and pool.last in network.cidr
