"""The allocations of a pool in their store: what the command `pool` calls."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from stackyard.addresses import Allocations, dump, parse
from stackyard.stores.open import open_store
from stackyard.stores.protocol import Store
from stackyard.stores.update import update

T = TypeVar("T")
# A pipeline that waits is better than one that fails while a hundred others start.
DEADLINE_SECONDS = 300.0


def open_allocations(address: str, environ: Mapping[str, str]) -> Store:
    """Return the store of allocations: in Vault they are a whole secret, unless a key is named.

    Raises:
        StoreError: the address names no store, or Vault's settings are missing.
    """
    store = open_store(address, environ)
    if address.startswith("vault:") and "#" not in address:
        from stackyard.stores.vault import VaultStore
        from stackyard.stores.vaultsecret import VaultSecret

        if isinstance(store, VaultStore):
            return VaultSecret(store.settings, store.mount, store.path)
    return store


def read_allocations(store: Store) -> Allocations:
    """Return the allocations.

    Raises:
        PoolError: the document makes no sense.
        StoreError: the store could not be read.
    """
    return parse(store.read().document, store.name)


def change_allocations(
    store: Store, decide: Callable[[Allocations], tuple[Allocations, T]]
) -> tuple[T, bool]:
    """Replace the allocations by what a decision makes of them; return its result too.

    The decision is made again whenever another process was faster. The second value tells whether
    anything had to be written.

    Raises:
        PoolError: the document makes no sense, or what the decision raises.
        StoreError: the store could not be read or written.
    """
    results: list[T] = []

    def function(text: str | None) -> str | None:
        before = parse(text, store.name)
        after, result = decide(before)
        results.append(result)
        # Compared as values: another tool's formatting is no difference.
        return None if after == before else dump(after)

    changed = update(store, function, DEADLINE_SECONDS)
    return results[-1], changed
