"""Giving blocks of a pool away and taking them back: values in, values out."""

import datetime as dt
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import count

from netaddr import IPAddress

from stackyard.addresses.document import Allocations, Lease, PoolError
from stackyard.fleet import Pool

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")


class PoolExhaustedError(PoolError):
    """Every block of the pool is taken."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Block:
    """What a cluster holds; the first address is its VIP. Without `expires` it is for ever."""

    cluster: str
    addresses: tuple[IPAddress, ...]
    expires: dt.datetime | None = None

    @property
    def vip(self) -> IPAddress:
        """The block's first address."""
        return self.addresses[0]


def allocate(
    allocations: Allocations,
    pool: Pool,
    cluster: str,
    now: dt.datetime,
    ttl: dt.timedelta | None = None,
) -> tuple[Allocations, Block]:
    """Return the allocations with a block for the cluster: the one it holds, or the first free.

    With a `ttl` its lease is renewed; without one it stays as it was, but one that is over ends:
    whoever asks again must not lose the block to the next `reap`.

    Raises:
        PoolExhaustedError: no block is free.
        PoolError: the name is none, or another cluster sits in the block that this one holds.
    """
    if not NAME.fullmatch(cluster):
        raise PoolError(f"{cluster!r} is no cluster's name: letters, digits, '-', '.' and '_'")
    addresses = pool.addresses(_held_index(allocations, pool, cluster))
    for address in addresses:
        owner = allocations.owners.get(address, cluster)
        if owner != cluster:
            raise PoolError(
                f"{cluster} holds {addresses[0]}, but {address} of the same block belongs to"
                f" {owner}: release one of them"
            )
    owners = {**allocations.owners, **dict.fromkeys(addresses, cluster)}
    leases = dict(allocations.leases)
    if ttl is not None:
        leases[addresses[0]] = Lease(cluster, (now + ttl).replace(microsecond=0))
    lease = leases.get(addresses[0])
    if lease is not None and lease.expires <= now:
        del leases[addresses[0]]
        lease = None
    block = Block(cluster, addresses, lease.expires if lease else None)
    return Allocations(owners, leases, allocations.others), block


def release(
    allocations: Allocations, pool: Pool, cluster: str
) -> tuple[Allocations, tuple[IPAddress, ...]]:
    """Return the allocations without what a cluster has of the pool, and those addresses."""
    freed = tuple(
        address
        for address, owner in sorted(allocations.owners.items())
        if owner == cluster and pool.index(address) is not None
    )
    return _without(allocations, freed), freed


def reap(
    allocations: Allocations, pool: Pool, now: dt.datetime
) -> tuple[Allocations, tuple[Block, ...]]:
    """Return the allocations without the blocks whose lease is over, and those blocks."""
    over = tuple(
        block for block in held(allocations, pool) if block.expires and block.expires <= now
    )
    return _without(allocations, [ip for block in over for ip in block.addresses]), over


def held(allocations: Allocations, pool: Pool) -> tuple[Block, ...]:
    """Return who holds something of the pool, in order of the addresses."""
    return tuple(_held(allocations, pool))


def capacity(allocations: Allocations, pool: Pool) -> tuple[int, int]:
    """Return how many blocks the pool has, and how many of them are free."""
    return pool.capacity, pool.capacity - len(_taken(allocations, pool))


def _without(allocations: Allocations, freed: Collection[IPAddress]) -> Allocations:
    owners = {ip: owner for ip, owner in allocations.owners.items() if ip not in freed}
    leases = {vip: lease for vip, lease in allocations.leases.items() if vip not in freed}
    return Allocations(owners, leases, allocations.others)


def _held(allocations: Allocations, pool: Pool) -> Iterator[Block]:
    blocks: dict[tuple[int, str], list[IPAddress]] = {}
    for address, owner in sorted(allocations.owners.items()):
        index = pool.index(address)
        if index is not None:
            blocks.setdefault((index, owner), []).append(address)
    for (_, owner), addresses in blocks.items():
        lease = allocations.leases.get(addresses[0])
        yield Block(owner, tuple(addresses), lease.expires if lease else None)


def _taken(allocations: Allocations, pool: Pool) -> set[int]:
    """Return the blocks in which anybody has an address: a block is given away whole."""
    indexes = (pool.index(address) for address in allocations.owners)
    return {index for index in indexes if index is not None}


def _held_index(allocations: Allocations, pool: Pool, cluster: str) -> int:
    taken = _taken(allocations, pool)
    for index in sorted(taken):
        if allocations.owners.get(pool.addresses(index)[0]) == cluster:
            return index
    free = next(index for index in count() if index not in taken)
    if free >= pool.capacity:
        raise PoolExhaustedError(
            f"pool exhausted: all {pool.capacity} blocks of {pool.name}"
            f" ({pool.first} to {pool.last}) are taken"
        )
    return free
