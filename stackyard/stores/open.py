"""A store's address becomes a store."""

from collections.abc import Mapping
from pathlib import Path

from stackyard.stores.protocol import Store, StoreError

KUBECONFIGS = "vault:kv/cluster-secret-store/secrets/KUBECONFIG"


def open_store(address: str, environ: Mapping[str, str]) -> Store:
    """Return the store of `vault:MOUNT/PATH` (its last part is the key, too) or `file:PATH`.

    Raises:
        StoreError: the address is of neither form, or Vault's settings are missing.
    """
    kind, _, place = address.partition(":")
    if kind == "file" and place:
        from stackyard.stores.file import FileStore

        return FileStore(Path(place))
    mount, _, path = place.partition("/")
    if kind == "vault" and mount and path.strip("/"):
        from stackyard.stores.vault import VaultSettings, VaultStore

        path = path.strip("/")
        settings = VaultSettings.from_environment(environ)
        return VaultStore(settings, mount, path, path.rpartition("/")[2])
    raise StoreError(f"{address} is no store: use vault:MOUNT/PATH or file:PATH")
