"""Where a document lives: one protocol, and one check-and-set loop for every store."""

from stackyard.stores.open import open_store
from stackyard.stores.protocol import Conflict, Store, StoreError, Versioned
from stackyard.stores.update import update

__all__ = ["Conflict", "Store", "StoreError", "Versioned", "open_store", "update"]
