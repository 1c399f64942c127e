"""`stackyard secrets edit`: an editor on plain text that is in memory only."""

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from stackyard.cli.options import HERE, Site

MOUNTS = Path("/proc/self/mounts")
SHARED_MEMORY = str(Path("/dev", "shm"))
IN_MEMORY = {"tmpfs", "ramfs"}


def edit(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A file below secrets/ without .yaml.")
    ],
    site: Site = HERE,
) -> None:
    """Open a secret in $SOPS_EDITOR or $EDITOR, and encrypt anew only what differs."""
    from stackyard.secrets.errors import SecretsError
    from stackyard.secrets.tree import read_entries
    from stackyard.stores import Conflict
    from stackyard.stores.secretfiles import file_of
    from stackyard.stores.sops import SopsFile

    file = file_of(site, name)
    store = SopsFile(file, os.environ)
    found = store.read()
    if found.document is None:
        raise SecretsError(f"{file} is not there: use stackyard secrets new")
    edited = _edited(found.document, file.name)
    if edited == found.document:
        typer.echo(f"{file}: as it was", err=True)
        return
    read_entries(edited, str(file))
    try:
        store.write(edited, found.version)
    except Conflict:
        raise SecretsError(f"{file} was changed meanwhile: nothing is written") from None
    typer.echo(f"{file}: written", err=True)


def _edited(text: str, name: str) -> str:
    from stackyard.secrets.errors import SecretsError

    editor = os.environ.get("SOPS_EDITOR") or os.environ.get("EDITOR") or "vi"
    with _private_folder() as folder:
        copy = folder / name
        copy.touch(mode=0o600)
        copy.write_text(text, encoding="utf-8")
        try:
            code = subprocess.run([*shlex.split(editor), str(copy)], check=False).returncode
            if code:
                raise SecretsError(f"{editor} ended with {code}: nothing is written")
            return copy.read_text(encoding="utf-8")
        except (OSError, ValueError):
            raise SecretsError(f"{editor} could not be used: set EDITOR") from None


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Give a folder of our own in memory, which is gone afterwards, also when we are ended."""
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
    folder = Path(tempfile.mkdtemp(prefix="stackyard-", dir=_memory()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        for number, handler in before.items():
            signal.signal(number, handler)


def _memory() -> Path:
    from stackyard.secrets.errors import SecretsError

    mounted = [line.split() for line in MOUNTS.read_text().splitlines()] if MOUNTS.exists() else []
    kinds = {fields[1]: fields[2] for fields in mounted}
    for place in (os.environ.get("XDG_RUNTIME_DIR"), SHARED_MEMORY):
        if place and kinds.get(place) in IN_MEMORY and os.access(place, os.W_OK):
            return Path(place)
    raise SecretsError("no folder here is in memory alone (/dev/shm): plain text would be on disk")


def _end(number: int, _frame: object) -> NoReturn:
    raise typer.Exit(128 + number)
