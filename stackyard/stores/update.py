"""The one check-and-set loop: read, decide, write if nobody else has, else again."""

from collections.abc import Callable

from stackyard.stores.protocol import Conflict, Store, StoreError
from stackyard.stores.retry import attempts
from stackyard.stores.turns import turn


def update(
    store: Store, function: Callable[[str | None], str | None], deadline: float = 60.0
) -> bool:
    """Replace a document by what a function makes of it; tell whether it was written.

    The function gets the document, None where there is none, and may be called several times. What
    it returns is written if it differs; None or the same text writes nothing. Rivals are waited
    for with full jitter (10 ms base, 1 s cap), `deadline` seconds at most.

    Raises:
        StoreError: the store failed, or others wrote until the deadline.
    """
    for _ in attempts(deadline):
        try:
            with turn(store.name):
                return _once(store, function)
        except Conflict:
            continue
    raise StoreError(f"{store.name}: others kept writing for {deadline:g} s: try again")


def _once(store: Store, function: Callable[[str | None], str | None]) -> bool:
    found = store.read()
    wanted = function(found.document)
    if wanted is None or wanted == found.document:
        return False
    store.write(wanted, found.version)
    return True
