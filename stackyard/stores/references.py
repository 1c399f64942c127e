"""The secrets that a plan names, wherever they are: in the environment or in Vault."""

import os

from stackyard.definitions.model import VaultReference
from stackyard.proxmox.references import MissingSecretError, Place, from_environment
from stackyard.stores.open import open_store


def read_secret(place: Place) -> str:
    """Read one secret.

    Raises:
        MissingSecretError: it is not there.
        StoreError: Vault's settings are missing, it refused or did not answer.
    """
    if not isinstance(place, VaultReference):
        return from_environment(place)
    secret = open_store(f"vault:{place.vault}", os.environ).read().document
    if not secret:
        raise MissingSecretError(f"{place.vault} in Vault, where there is no such key")
    return secret
