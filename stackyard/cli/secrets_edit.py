"""`stackyard secrets edit`: what an editor makes of a secret, encrypted anew where it differs."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from stackyard.cli.options import HERE, Site
from stackyard.cli.terminal import can_ask

if TYPE_CHECKING:
    from stackyard.cli.editor import Copy
    from stackyard.stores.sops import SopsFile


def edit(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A file below secrets/ without .yaml.")
    ],
    site: Site = HERE,
) -> None:
    """Open a secret in $SOPS_EDITOR or $EDITOR, and encrypt anew only what differs."""
    from stackyard.cli.editor import copy_in_memory
    from stackyard.errors import StackyardError
    from stackyard.secrets.errors import SecretsError
    from stackyard.stores import Conflict
    from stackyard.stores.secretfiles import file_of
    from stackyard.stores.sops import SopsFile

    store = SopsFile(file_of(site, name), os.environ)
    found = store.read()
    if found.document is None:
        raise SecretsError(f"{store.name} is not there: use stackyard secrets new")
    version: str | None = found.version
    with copy_in_memory(found.document, store.path.name) as copy:
        while True:
            try:
                _edit_once(store, found.document, version, copy)
            except Conflict:
                version = None
                _offer(SecretsError(f"{store.name} was changed meanwhile: nothing is written"))
            except StackyardError as error:
                _offer(error)
            else:
                return


def _edit_once(store: "SopsFile", before: str, version: str | None, copy: "Copy") -> None:
    """Write what differs from the text that was opened; None is whatever version is there now."""
    from stackyard.cli.editor import edited
    from stackyard.secrets.comments import find_comments
    from stackyard.secrets.scalars import check_scalars
    from stackyard.secrets.tree import read_entries

    after = edited(copy)
    changes = store.differences(before, after)
    read_entries(after, store.name)
    check_scalars(before, after, store.name)
    store.change(changes, version or store.read().version)
    typer.echo(f"{store.name}: {'written' if changes else 'as it was'}", err=True)
    comments = [[comment for _, comment in find_comments(text)] for text in (before, after)]
    if comments[0] != comments[1]:
        typer.echo(f"{store.name}: its comments stay as they were: use sops for them", err=True)


def _offer(error: Exception) -> None:
    """Ask whether to go on with an edit that could not be written; raise its error if not."""
    if not can_ask():
        raise error
    typer.echo(f"error: {error}", err=True)
    if not typer.confirm("edit again? Without it your edit is lost", default=True, err=True):
        raise typer.Exit(1)
