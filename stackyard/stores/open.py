"""A store's address becomes a store."""

from collections.abc import Mapping
from pathlib import Path

from stackyard.stores.protocol import Store, StoreError

KUBECONFIGS = "vault:kv/cluster-secret-store/secrets/KUBECONFIG"
FORMS = "vault:MOUNT/PATH, sops:FILE or file:FILE"
# Where a SOPS file has what Vault has at kv/cluster-secret-store/secrets/NAME, key NAME.
TWIN = ("vault", "kv", "cluster-secret-store", "secrets")


def open_store(address: str, environ: Mapping[str, str]) -> Store:
    """Return the store of an address.

    `vault:MOUNT/PATH`: its last part is the key, too. `sops:FILE` or `sops:FILE#KEY.KEY`: without
    keys those under which the file is Vault's twin. `file:FILE`.

    Raises:
        StoreError: the address is of no such form, or Vault's settings are missing.
    """
    kind, _, place = address.partition(":")
    if kind == "file" and place:
        from stackyard.stores.file import FileStore

        return FileStore(Path(place))
    if kind == "sops" and place.partition("#")[0]:
        return _sops(place, environ)
    mount, _, path = place.partition("/")
    if kind == "vault" and mount and path.strip("/"):
        from stackyard.stores.vault import VaultSettings, VaultStore

        path = path.strip("/")
        settings = VaultSettings.from_environment(environ)
        return VaultStore(settings, mount, path, path.rpartition("/")[2])
    raise StoreError(f"{address} is no store: use {FORMS}")


def _sops(place: str, environ: Mapping[str, str]) -> Store:
    from stackyard.stores.sops import SopsFile, SopsStore
    from stackyard.stores.sopsdiff import checked

    file, _, keys = place.partition("#")
    stem = Path(file).name.partition(".")[0]
    names = keys.split(".") if keys else [*TWIN, stem, stem]
    return SopsStore(SopsFile(Path(file), environ), tuple(checked(name) for name in names))
