"""`stackyard secrets external`: manifests that bring Vault's secrets into namespaces."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stackyard.cli.options import HERE, Site

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stackyard.secrets.tree import Entry

CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s[^-]+-----END CERTIFICATE-----")


def external(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]…",
            help="Only these secrets, by the last part of their paths.",
            show_default="all but the kubeconfig of all clusters",
        ),
    ] = None,
    role: Annotated[
        str, typer.Option(help="The role of Vault's Kubernetes login.", metavar="ROLE")
    ] = "external-secrets",
    auth_mount: Annotated[
        str, typer.Option(help="Where that login is mounted.", metavar="MOUNT")
    ] = "kubernetes",
    site: Site = HERE,
) -> None:
    """Print a ClusterSecretStore and a ClusterExternalSecret for the External Secrets Operator.

    Namespaces labelled cluster-secrets=true get the Secret cluster-secrets with each key that the
    files name. Vault's address and CA are VAULT_ADDR, VAULT_CACERT and VAULT_NAMESPACE.
    """
    import yaml

    from stackyard.secrets.external import Access, manifests
    from stackyard.secrets.tree import check_defined_once
    from stackyard.stores.secretfiles import find_files, read_names

    found = read_names(find_files(site))
    check_defined_once(found)
    access = Access(
        _server(),
        role,
        auth_mount,
        os.environ.get("VAULT_NAMESPACE") or None,
        _authority(os.environ.get("VAULT_CACERT")),
    )
    documents = manifests(_chosen(found, names or ()), access)
    typer.echo(yaml.safe_dump_all(documents, sort_keys=False, explicit_start=True), nl=False)


def _chosen(entries: "Sequence[Entry]", names: "Iterable[str]") -> "list[Entry]":
    from stackyard.secrets.errors import SecretsError
    from stackyard.stores.open import KUBECONFIGS
    from stackyard.stores.secretfiles import find_synced

    by_name: dict[str, list[Entry]] = {}
    for entry in entries:
        by_name.setdefault(entry.place.path.rpartition("/")[2], []).append(entry)
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise SecretsError(f"there is no secret {unknown[0]}: there is {', '.join(by_name)}")
    if names:
        return [entry for name in dict.fromkeys(names) for entry in by_name[name]]
    # The key to all clusters goes nowhere unless it is asked for.
    kept = {KUBECONFIGS, *(f"vault:{place}" for place in find_synced(entries))}
    return [
        entry for found in by_name.values() for entry in found if f"vault:{entry.place}" not in kept
    ]


def _server() -> str:
    from stackyard.secrets.errors import SecretsError

    server = os.environ.get("VAULT_ADDR")
    if not server:
        raise SecretsError("VAULT_ADDR must be set: it is the manifests' Vault")
    return server.rstrip("/")


def _authority(file: str | None) -> str | None:
    from stackyard.secrets.errors import SecretsError

    if not file:
        return None
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise SecretsError(f"VAULT_CACERT: {file} cannot be read") from None
    # Nothing else of the file: a key that stands beside its certificate is not to be handed out.
    certificates = CERTIFICATE.findall(text)
    if not certificates:
        raise SecretsError(f"VAULT_CACERT: {file} has no certificate in PEM")
    return "".join(f"{one}\n" for one in certificates)
