"""The document of a pool's allocations: flat, `{address: cluster}`, as older tools write it too.

Leases stand beside them under one key, as one text without white space: tools that copy a secret
key by key through a shell carry it along. Such tools write `_empty` into a secret without keys.
"""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from netaddr import AddrFormatError, IPAddress

from stackyard.definitions.document import DocumentError, read_document
from stackyard.errors import StackyardError
from stackyard.inventory.export import date_text

LEASES = "_leases"
EMPTY = "_empty"
TIME = "%Y-%m-%dT%H:%M:%SZ"


class PoolError(StackyardError):
    """A document of allocations, or a wish, that makes no sense."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Until when a cluster holds its block, in UTC."""

    cluster: str
    expires: dt.datetime


@dataclass(frozen=True, slots=True)
class Allocations:
    """Which cluster has which address; the leases are by a block's first address."""

    owners: Mapping[IPAddress, str] = field(default_factory=dict)
    leases: Mapping[IPAddress, Lease] = field(default_factory=dict)
    others: Mapping[str, Any] = field(default_factory=dict)  # keys of other tools, kept


def parse(text: str | None, what: str = "the allocations") -> Allocations:
    """Return a document's allocations, none where there is no document yet.

    Raises:
        PoolError: it is not a flat mapping of addresses to names: nothing may be given away then.
    """
    if text is None:
        return Allocations()
    try:
        document = read_document(text)
    except DocumentError as error:
        raise PoolError(f"{what}, line {error.line}: {error}") from None
    if not isinstance(document, dict):
        raise PoolError(f"{what}: not a mapping of addresses to clusters")
    owners = {}
    others = {}
    for key, value in document.items():
        if not key.startswith("_"):
            address = _address(key, what)
            if address in owners:
                raise PoolError(f"{what}: {address} stands there twice, written in two ways")
            owners[address] = _name(key, value, what)
        elif key not in (LEASES, EMPTY):
            others[key] = value
    leases = _leases(document.get(LEASES), what)
    valid = {vip: lease for vip, lease in leases.items() if owners.get(vip) == lease.cluster}
    return Allocations(owners, valid, others)


def dump(allocations: Allocations) -> str:
    """Return the document as JSON text, its addresses in order."""
    owners = allocations.owners
    document: dict[str, Any] = {str(address): owners[address] for address in sorted(owners)}
    document |= allocations.others
    leases = {
        str(vip): {"cluster": lease.cluster, "expires": lease.expires.strftime(TIME)}
        for vip, lease in sorted(allocations.leases.items())
        if owners.get(vip) == lease.cluster
    }
    if leases:
        document[LEASES] = json.dumps(leases, separators=(",", ":"))
    # It is read as YAML, which has no escapes in pairs, and may have held a date.
    return json.dumps(document, indent=2, ensure_ascii=False, default=date_text) + "\n"


def _address(key: str, what: str) -> IPAddress:
    try:
        return IPAddress(key)
    except (AddrFormatError, ValueError):
        raise PoolError(f"{what}: the key {key!r} is no address") from None


def _name(key: str, value: Any, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise PoolError(f"{what}: {key} belongs to something that is no name")
    return value


def _leases(text: Any, what: str) -> dict[IPAddress, Lease]:
    if text is None:
        return {}
    try:
        found = json.loads(text)
        return {
            IPAddress(vip): Lease(
                str(lease["cluster"]),
                dt.datetime.strptime(lease["expires"], TIME).replace(tzinfo=dt.UTC),
            )
            for vip, lease in found.items()
        }
    except (AddrFormatError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise PoolError(f"{what}: {LEASES} is not what stackyard wrote there") from None
