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
