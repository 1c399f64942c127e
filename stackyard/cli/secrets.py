"""`stackyard secrets`: the site's encrypted files, by name and in clear."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from stackyard.cli import secrets_edit, secrets_external, secrets_sync
from stackyard.cli.options import HERE, Site
from stackyard.cli.terminal import can_ask
from stackyard.cli.wholehelp import WholeHelp

app = typer.Typer(
    cls=WholeHelp, help="Secrets in Git, encrypted by SOPS, and in Vault.", no_args_is_help=True
)
app.command("edit")(secrets_edit.edit)
app.command("sync")(secrets_sync.sync)
app.command("external")(secrets_external.external)

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A file below secrets/ without .yaml, as common/cluster-secret-store/secrets/GRAFANA.",
    ),
]


@app.command()
def tree(site: Site = HERE) -> None:
    """Print the names of all secrets and their keys; nothing is decrypted."""
    from stackyard.stores.secretfiles import find_files, read_names

    before = None
    for entry in sorted(read_names(find_files(site)), key=lambda entry: (entry.place, entry.file)):
        if before != (entry.place, entry.file):
            typer.echo(f"{entry.place}  ({entry.file})")
            before = (entry.place, entry.file)
        typer.echo(f"  {entry.key}")


@app.command()
def show(
    name: Name,
    key: Annotated[
        str | None,
        typer.Argument(metavar="[KEY]", help="This key's value alone.", show_default="all"),
    ] = None,
    site: Site = HERE,
) -> None:
    """Print a secret in clear."""
    from stackyard.stores.secretfiles import decrypt, file_of, read_value

    file = file_of(site, name)
    if key is None:
        typer.echo(decrypt(file, os.environ), nl=False)
        return
    value = read_value(file, key, os.environ)
    typer.echo(value, nl=not value.endswith("\n"))


@app.command()
def new(
    name: Name,
    keys: Annotated[list[str], typer.Argument(metavar="KEY…", help="The secret's keys.")],
    mount: Annotated[str, typer.Option(help="The mount in Vault.", metavar="MOUNT")] = "kv",
    site: Site = HERE,
) -> None:
    """Make an encrypted file; its values are asked for, or read from standard input.

    From standard input a single key takes all of it, several keys take one line each; the end of
    an only line is left out.
    """
    from stackyard.secrets.errors import SecretsError
    from stackyard.secrets.new import check_new, document
    from stackyard.stores import update
    from stackyard.stores.secretfiles import file_of, find_names
    from stackyard.stores.sops import SopsFile

    file = file_of(site, name)
    place = check_new(name, mount, keys, find_names(site))
    there = SecretsError(f"{file} is there already: use stackyard secrets edit")
    if file.exists():  # told before the values are asked for
        raise there
    values = _ask(keys) if can_ask() else _read(keys)

    def create(before: str | None) -> str:
        if before is not None:
            raise there
        return document(place, dict(zip(keys, values, strict=True)))

    update(SopsFile(file, os.environ), create)
    typer.echo(f"{file}: made, for {place}", err=True)


@app.command()
def guard(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Files or folders.", readable=False)
    ],
) -> None:
    """Refuse files with a value that SOPS has not encrypted, a private key or a kubeconfig.

    The rules of the .sops.yaml above a file say whether it must be encrypted, and a folder called
    secrets does; other files are searched for private keys and kubeconfigs alone. Where there is no
    .sops.yaml, every file must be encrypted.
    """
    from stackyard.stores.guard import guard as check
    from stackyard.stores.guard import has_rules

    problems = check(files)
    for problem in problems:
        typer.echo(str(problem), err=True)
    if problems:
        refused = {problem.path for problem in problems}
        if not all(has_rules(Path(path)) for path in refused):
            typer.echo(
                "where no .sops.yaml is above a file, it must be encrypted: "
                "write one whose creation_rules say which files are secret",
                err=True,
            )
        count = len(refused)
        typer.echo(f"error: {count} file{'s' * (count != 1)} refused", err=True)
        raise typer.Exit(1)


def _ask(keys: list[str]) -> list[str]:
    return [typer.prompt(key, hide_input=True, confirmation_prompt=True, err=True) for key in keys]


def _read(keys: list[str]) -> list[str]:
    try:
        given = sys.stdin.read() if sys.stdin else ""
        given.encode()
    except UnicodeError:
        raise typer.BadParameter("standard input is no text in UTF-8") from None
    text = given.removesuffix("\n")
    values = [line.removesuffix("\r") for line in text.split("\n")]
    if len(keys) == 1 and len(values) > 1:
        values = [given]  # OpenSSH reads no private key without its last line end
    if len(values) != len(keys) or not all(values):
        raise typer.BadParameter(
            f"standard input has {len(values) if text else 0} values for {len(keys)} keys"
        )
    return values
