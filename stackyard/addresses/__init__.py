"""Address pools as values: who holds which block, decided without touching anything. Pure."""

from stackyard.addresses.document import Allocations, Lease, PoolError, dump, parse
from stackyard.addresses.pool import (
    Block,
    PoolExhaustedError,
    allocate,
    capacity,
    held,
    reap,
    release,
)

__all__ = [
    "Allocations",
    "Block",
    "Lease",
    "PoolError",
    "PoolExhaustedError",
    "allocate",
    "capacity",
    "dump",
    "held",
    "parse",
    "reap",
    "release",
]
