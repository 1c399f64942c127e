"""A store's address becomes a store."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from stackyard.stores.protocol import Store, StoreError

KUBECONFIGS = "vault:kv/cluster-secret-store/secrets/KUBECONFIG"
FORMS = "vault:MOUNT/PATH, sops:FILE, file:FILE or k8s:NAMESPACE/NAME"
DNS = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
# Where a SOPS file has what Vault has at kv/cluster-secret-store/secrets/NAME, key NAME.
TWIN = ("vault", "kv", "cluster-secret-store", "secrets")


def open_store(address: str, environ: Mapping[str, str]) -> Store:
    """Return the store of an address.

    `vault:MOUNT/PATH` and `k8s:NAMESPACE/NAME`: the last part is the key, too, unless `#KEY`
    follows. `sops:FILE` or `sops:FILE#KEY.KEY`: without keys those under which the file is the twin
    of Vault's secret. `file:FILE`.

    Raises:
        StoreError: the address is of no such form, or Vault's settings or its library are missing.
    """
    kind, _, place = address.partition(":")
    found = OPENERS[kind](place, environ) if kind in OPENERS else None
    if found is None:
        raise StoreError(f"{address} is no store: use {FORMS}")
    return found


def below(folder: Path, address: str) -> str:
    """Return a store's address with its file, if that is a relative one, below a folder."""
    kind, _, place = address.partition(":")
    return f"{kind}:{folder / place}" if kind in {"file", "sops"} and place else address


def _file(place: str, _: Mapping[str, str]) -> Store | None:
    from stackyard.stores.file import FileStore

    return FileStore(_path(place)) if place else None


def _vault(place: str, environ: Mapping[str, str]) -> Store | None:
    try:
        from stackyard.stores.vault import VaultSettings, VaultStore
    except ImportError as error:
        raise StoreError(
            f"vault:{place} needs the Python package {error.name}: add it to the execution"
            " environment, or to Ansible's own"
        ) from error

    place, _, key = place.partition("#")
    # A mount with a slash in its name ends at two slashes.
    mount, _, path = place.partition("//" if "//" in place else "/")
    if not mount or not path:
        return None
    settings = VaultSettings.from_environment(environ)
    return VaultStore(settings, mount, path, key or path.rpartition("/")[2])


def _secret(place: str, environ: Mapping[str, str]) -> Store | None:
    from stackyard.stores.secret import SecretStore

    place, _, key = place.partition("#")
    namespace, _, name = place.partition("/")
    if not (DNS.fullmatch(namespace) and DNS.fullmatch(name)):
        return None
    return SecretStore(namespace, name, key or name, environ)


def _sops(place: str, environ: Mapping[str, str]) -> Store | None:
    from stackyard.stores.sops import SopsFile, SopsStore
    from stackyard.stores.sopsdiff import checked

    file, _, keys = place.partition("#")
    if not file:
        return None
    stem = Path(file).name.partition(".")[0]
    names = keys.split(".") if keys else [*TWIN, stem, stem]
    return SopsStore(SopsFile(_path(file), environ), tuple(checked(name) for name in names))


def _path(place: str) -> Path:
    # A shell leaves the ~ of `file:~/…` to us.
    return Path(place).expanduser() if place.startswith("~/") else Path(place)


Opener = Callable[[str, Mapping[str, str]], Store | None]
OPENERS: dict[str, Opener] = {"vault": _vault, "sops": _sops, "file": _file, "k8s": _secret}
