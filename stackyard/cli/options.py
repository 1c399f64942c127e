"""Options and output that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Site = Annotated[
    Path,
    typer.Option(
        "--site",
        help="The folder with vms/, inventory/ and plays/.",
        metavar="DIR",
        show_default="the working folder",
    ),
]
HERE = Path()
LONGEST_SECONDS = 86_400.0


def check_seconds(value: float) -> float:
    """Return a timeout that a system call takes; typer's `min` lets `nan` and `inf` pass.

    Raises:
        BadParameter: it is none.
    """
    if not value <= LONGEST_SECONDS:
        raise typer.BadParameter(f"{value:g} is not a number of seconds up to {LONGEST_SECONDS:g}")
    return value
