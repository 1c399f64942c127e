"""Manifests for the External Secrets Operator: from Vault into the namespaces that ask for it.

API: https://external-secrets.io/latest/api/spec/ (external-secrets.io/v1).
"""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from stackyard.secrets.errors import SecretsError
from stackyard.secrets.tree import Entry

API = "external-secrets.io/v1"
LABELS = {"cluster-secrets": "true"}
TARGET = "cluster-secrets"
KEY = re.compile(r"(?!\.\.)[-._A-Za-z0-9]{1,253}")  # what a Kubernetes Secret takes
STORE = "cluster-secret-store"
REFRESH = "1h0m0s"


@dataclass(frozen=True, slots=True)
class Access:
    """How the operator reaches Vault: by its own service account, through Kubernetes' login."""

    server: str
    role: str = "external-secrets"
    auth_mount: str = "kubernetes"
    namespace: str | None = None
    ca: str | None = None  # PEM
    service_account: str = "external-secrets"
    operator_namespace: str = "external-secrets"


def manifests(entries: Iterable[Entry], access: Access) -> list[dict[str, Any]]:
    """Return the ClusterSecretStore and the ClusterExternalSecret for the entries' keys.

    Each key is named with its secret: one that appears in Vault later is not handed out by itself.

    Raises:
        SecretsError: there is none, they are in several mounts, two have the same key, or a key is
            not one that a Kubernetes Secret takes.
    """
    found = sorted(entries, key=lambda entry: entry.key)
    mounts = sorted({entry.place.mount for entry in found})
    if len(mounts) != 1:
        what = f"they are in {' and '.join(mounts)}" if mounts else "there is no secret"
        raise SecretsError(f"one store is for one mount: {what}")
    for first, second in pairwise(found):
        if first.key == second.key:
            raise SecretsError(
                f"{first.key} is in {first.place} and in {second.place}, and both would be one"
                f" key of the Secret {TARGET}: name the secrets you want"
            )
    for entry in found:
        if not KEY.fullmatch(entry.key):
            raise SecretsError(
                f"{entry.file}:{entry.line}: {entry.key!r} of {entry.place} cannot be a key of a"
                " Kubernetes Secret: letters, digits, '-', '_' and '.'"
            )
    return [_store(mounts[0], access), _secret(found)]


def _store(mount: str, access: Access) -> dict[str, Any]:
    vault: dict[str, Any] = {"server": access.server, "path": mount, "version": "v2"}
    if access.namespace:
        vault["namespace"] = access.namespace
    if access.ca:
        vault["caBundle"] = base64.b64encode(access.ca.encode()).decode()
    account = {"name": access.service_account, "namespace": access.operator_namespace}
    vault["auth"] = {
        "kubernetes": {
            "mountPath": access.auth_mount,
            "role": access.role,
            "serviceAccountRef": account,
        }
    }
    # A store for the whole cluster can be used from every namespace unless it says otherwise.
    conditions = [{"namespaceSelector": {"matchLabels": dict(LABELS)}}]
    return _manifest(
        "ClusterSecretStore", STORE, {"conditions": conditions, "provider": {"vault": vault}}
    )


def _secret(entries: Iterable[Entry]) -> dict[str, Any]:
    data = [
        {
            "secretKey": entry.key,
            "remoteRef": {"key": entry.place.path, "property": entry.key},
        }
        for entry in entries
    ]
    spec = {
        "externalSecretName": TARGET,
        "namespaceSelectors": [{"matchLabels": dict(LABELS)}],
        "refreshTime": REFRESH,
        "externalSecretSpec": {
            "secretStoreRef": {"kind": "ClusterSecretStore", "name": STORE},
            "refreshInterval": REFRESH,
            "target": {"name": TARGET, "creationPolicy": "Owner", "deletionPolicy": "Retain"},
            "data": data,
        },
    }
    return _manifest("ClusterExternalSecret", TARGET, spec)


def _manifest(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}
