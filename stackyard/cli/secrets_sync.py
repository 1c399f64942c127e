"""`stackyard secrets sync`: Vault gets what the files have."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from stackyard.cli.options import HERE, Site

if TYPE_CHECKING:
    from stackyard.secrets.tree import Entry

CHANGES = 2


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
    from stackyard.stores.secretfiles import decrypt_entries, find_files
    from stackyard.stores.secrets import carry_out, list_beside, observe
    from stackyard.stores.vaultsettings import VaultSettings

    files = find_files(site)
    entries = decrypt_entries(files, os.environ)
    for file in sorted({str(file) for file in files} - {entry.file for entry in entries}):
        typer.echo(f"{file}: has no secret below `vault`, left out", err=True)
    wanted = secrets.desired(_ours(entries))
    settings = VaultSettings.from_environment(os.environ)
    places = set(wanted)
    if prune:
        listed = list_beside(wanted, settings)
        places |= {place for place in listed if not _is_kubeconfigs(str(place))}
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


def _ours(entries: "Iterable[Entry]") -> "list[Entry]":
    """Check that nothing collides, and leave the kubeconfigs to their own command."""
    from stackyard.secrets.tree import check_defined_once, shared_keys

    found = list(entries)
    check_defined_once(found)
    for sentence in shared_keys(found):
        typer.echo(f"warning: {sentence}", err=True)
    ours = [entry for entry in found if not _is_kubeconfigs(str(entry.place))]
    if len(ours) < len(found):
        typer.echo("left to stackyard kubeconfig sync: the kubeconfig of all clusters", err=True)
    return ours


def _is_kubeconfigs(place: str) -> bool:
    from stackyard.stores.open import KUBECONFIGS

    # Every cluster's role writes it into Vault: the file's may be the older one.
    return f"vault:{place}" == KUBECONFIGS
