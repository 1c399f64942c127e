"""A new secret file: where its secret is in Vault, and its document."""

import re
from collections.abc import Iterable, Mapping, Sequence

import yaml

from stackyard.secrets.errors import SecretsError
from stackyard.secrets.tree import ROOT, Entry, Place

# What Vault's paths, Kubernetes' Secrets and file names all take.
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def check_new(name: str, mount: str, keys: Sequence[str], existing: Iterable[Entry]) -> Place:
    """Return the place of a secret of a name as `common/cluster-secret-store/secrets/GRAFANA`.

    The first part of the name is a folder of the site's alone; the rest is the path in Vault.

    Raises:
        SecretsError: the name, the mount or a key cannot be used, or a file has such a key already.
    """
    _, *path = parts = name.split("/")
    if not NAME.fullmatch(mount):
        raise SecretsError(f"{mount!r} is no name of a mount in Vault")
    usable = all(NAME.fullmatch(part) for part in parts)
    if not path or not usable or name.endswith((".yaml", ".yml")):
        raise SecretsError(
            f"{name} is no name: it is a folder and a path without .yaml, as"
            " common/cluster-secret-store/secrets/GRAFANA"
        )
    for number, key in enumerate(keys):
        if not NAME.fullmatch(key) or key in keys[:number]:
            raise SecretsError(f"the key {key!r} is no name, or comes twice")
    place = Place(mount, "/".join(path))
    for entry in existing:
        if entry.place == place and entry.key in keys:
            raise SecretsError(
                f"{entry.key} of {place} is defined in {entry.file}:{entry.line} already"
            )
    return place


def document(place: Place, values: Mapping[str, str]) -> str:
    """Return the document of a file with one secret, in clear."""
    tree: object = dict(values)
    for part in (*reversed(place.path.split("/")), place.mount, ROOT):
        tree = {part: tree}
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
