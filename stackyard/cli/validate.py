"""`stackyard validate`: every mistake of every file, one a line."""

from collections.abc import Sequence, Sized
from typing import TYPE_CHECKING

import typer

from stackyard.cli.options import HERE, Site

if TYPE_CHECKING:
    from stackyard.definitions.document import Problem


def validate(site: Site = HERE) -> None:
    """Check all VM definitions, and the site they belong to, without touching anything."""
    from stackyard.definitions.load import DefinitionsError
    from stackyard.fleet import known_hosts_of, load_fleet
    from stackyard.inventory import ClashError, build_inventory

    try:
        fleet = load_fleet(site)
        build_inventory(fleet.definitions, known_hosts_of(site, {}))
    except DefinitionsError as error:
        raise _refused(error.problems) from None
    except ClashError as error:
        raise _refused((error.problem,)) from None
    vms, nodes = _count(fleet.definitions, "definition"), _count(fleet.site.nodes, "node")
    typer.echo(f"{vms}, {nodes}: no mistakes")


def _refused(problems: "Sequence[Problem]") -> typer.Exit:
    """Print mistakes; the exit is 1."""
    for problem in problems:
        typer.echo(str(problem), err=True)
    typer.echo(f"error: {_count(problems, 'mistake')}", err=True)
    return typer.Exit(1)


def _count(things: Sized, noun: str) -> str:
    return f"{len(things)} {noun}{'s' * (len(things) != 1)}"
