"""`stackyard secrets sync`: Vault gets what the files have."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stackyard.cli.options import CHANGES, HERE, Site

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stackyard.secrets.tree import Entry

KEPT = "kubeconfig sync"


def sync(
    site: Site = HERE,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Remove what is beside the files' secrets and in no file."),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 2 when there are changes.")
    ] = False,
) -> None:
    """Print what differs in Vault from the files, and write just that."""
    from stackyard.secrets import sync as secrets
    from stackyard.stores.secretfiles import decrypt_entries, find_files, find_synced
    from stackyard.stores.secrets import carry_out, list_beside, observe
    from stackyard.stores.vaultsettings import VaultSettings

    files = find_files(site)
    writers = _writers(site)
    entries = decrypt_entries(files, os.environ)
    writers |= {str(place): KEPT for place in find_synced(entries)}
    for file in sorted({str(file) for file in files} - {entry.file for entry in entries}):
        typer.echo(f"{file}: has no secret below `vault`, left out", err=True)
    wanted = secrets.desired(_ours(entries, writers))
    settings = VaultSettings.from_environment(os.environ)
    places = set(wanted)
    if prune:
        listed = list_beside(wanted, settings)
        places |= {place for place in listed if str(place) not in writers}
    observed = observe(places, settings)
    changes = secrets.plan(wanted, observed.secrets)
    if not prune:
        for change in changes:
            for key in change.removed:
                typer.echo(f"kept: {change.place} {key} is in no file", err=True)
        changes = secrets.without_removals(changes, observed.secrets)
    for line in secrets.describe(changes):
        typer.echo(line)
    if check:
        typer.echo(f"{len(changes)} secrets differ, nothing is written", err=True)
        raise typer.Exit(CHANGES if changes else 0)
    for place in carry_out(changes, observed, settings):
        typer.echo(f"{place}: done", err=True)
    if not changes:
        typer.echo("nothing to do", err=True)


def _ours(entries: "Iterable[Entry]", writers: "Mapping[str, str]") -> "list[Entry]":
    """Check that nothing collides, and leave what other commands write to them."""
    from stackyard.secrets.tree import check_defined_once, shared_keys

    found = list(entries)
    check_defined_once(found)
    for sentence in shared_keys(found):
        typer.echo(f"warning: {sentence}", err=True)
    places = {str(entry.place) for entry in found}
    for place in sorted(places & writers.keys()):
        typer.echo(f"left to stackyard {writers[place]}: {place}", err=True)
    return [entry for entry in found if str(entry.place) not in writers]


def _writers(site: Path) -> dict[str, str]:
    """Return the secrets that other commands write at any time, so that a file's may be older.

    Roles write the kubeconfig, and a pool's addresses would be given away twice.
    """
    from stackyard.fleet import load_site
    from stackyard.fleet.pools import STORE
    from stackyard.stores.open import KUBECONFIGS

    pools = (pool.store for pool in load_site(site).pools.values())
    return {_secret(store): "pool" for store in (STORE, *pools)} | {_secret(KUBECONFIGS): KEPT}


def _secret(store: str) -> str:
    """Return the secret of a store's address, as a `Place` writes it."""
    return store.removeprefix("vault:").partition("#")[0].replace("//", "/")
