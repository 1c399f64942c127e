"""Secrets in Vault, many at once: read with their versions, and changed as a plan says."""

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from stackyard.secrets.sync import Change
from stackyard.secrets.tree import Place
from stackyard.stores.protocol import Conflict, StoreError
from stackyard.stores.vaultsecret import VaultSecret
from stackyard.stores.vaultsettings import VaultSettings

AT_ONCE = 8  # requests


@dataclass(frozen=True, slots=True)
class Observed:
    """What Vault has: the secrets that are there, and the version of every one asked for."""

    secrets: Mapping[Place, Mapping[str, Any]] = field(repr=False)
    versions: Mapping[Place, str]


def observe(places: Iterable[Place], settings: VaultSettings) -> Observed:
    """Read secrets; one that is absent has a version, too.

    Raises:
        StoreError: one of them could not be read.
    """
    asked = sorted(set(places))
    with ThreadPoolExecutor(AT_ONCE) as threads:
        found = list(threads.map(lambda place: _secret(place, settings).read(), asked))
    pairs = list(zip(asked, found, strict=True))
    secrets = {place: json.loads(one.document) for place, one in pairs if one.document}
    return Observed(secrets, {place: one.version for place, one in pairs})


def list_beside(places: Iterable[Place], settings: VaultSettings) -> set[Place]:
    """Return the secrets that are in the same folders as some, these included.

    Raises:
        StoreError: a folder could not be listed.
    """
    folders = {(place.mount, place.path.rpartition("/")[0]): place for place in places}
    return {
        Place(mount, f"{folder}/{name}".lstrip("/"))
        for (mount, folder), place in folders.items()
        for name in _secret(place, settings).names_beside()
    }


def carry_out(
    changes: Iterable[Change], observed: Observed, settings: VaultSettings
) -> Iterator[Place]:
    """Write or delete each secret, if it still is what the plan was made from; yield its place.

    Raises:
        StoreError: one could not be written, or somebody else wrote it since.
    """
    for change in changes:
        secret = _secret(change.place, settings)
        version = observed.versions[change.place]
        try:
            if change.after:
                secret.write(json.dumps(dict(change.after)), version)
            else:
                secret.delete(version)
        except Conflict:
            raise StoreError(
                f"{secret.name}: somebody else wrote it since the plan was made: sync again"
            ) from None
        yield change.place


def _secret(place: Place, settings: VaultSettings) -> VaultSecret:
    return VaultSecret(settings, place.mount, place.path)
