"""Options and output that several commands share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from stackyard.errors import StackyardError


def check_site(site: Path) -> Path:
    """Return a site's folder; what it does not show would count as what it does not have.

    Raises:
        StackyardError: it may not be searched, or no folder can be called so.
    """
    try:
        site.joinpath("vms").lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass  # each command says what it misses
    except OSError as error:
        raise StackyardError(f"{site} cannot be read: {error.strerror}") from error
    return site


Site = Annotated[
    Path,
    typer.Option(
        "--site",
        help="The folder with vms/, inventory/ and plays/.",
        metavar="DIR",
        readable=False,
        callback=check_site,
        show_default="the working folder",
    ),
]
HERE = Path()


def complete_vms(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of the site's VMs that begin so, for a shell's completion."""
    from stackyard.definitions.files import read_files
    from stackyard.definitions.load import read_vms

    definitions, _mistakes = read_vms(read_files(context.params["site"] / "vms"))
    return [vm.name for vm in definitions if vm.name.startswith(incomplete)]


CHANGES = 2  # the exit code where something differs: a plan, a drift, a check
LONGEST_SECONDS = 86_400.0


def check_seconds(value: float) -> float:
    """Return a timeout that a system call takes; typer's `min` lets `nan` and `inf` pass.

    Raises:
        BadParameter: it is none.
    """
    if not value <= LONGEST_SECONDS:
        raise typer.BadParameter(f"{value:g} is not a number of seconds up to {LONGEST_SECONDS:g}")
    return value


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lay rows out in columns; the last one is as wide as it likes."""
    everything = [head, *rows]
    widths = [max(len(row[column]) for row in everything) for column in range(len(head) - 1)]
    return [
        "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in everything
    ]
