"""`stackyard validate`: every mistake of every file, one a line."""

from collections.abc import Sized

import typer

from stackyard.cli.options import HERE, Site


def validate(site: Site = HERE) -> None:
    """Check all VM definitions, and the site they belong to, without touching anything."""
    from stackyard.definitions.load import DefinitionsError
    from stackyard.fleet import known_hosts_of, load_fleet
    from stackyard.inventory import build_inventory

    try:
        fleet = load_fleet(site)
        build_inventory(fleet.definitions, known_hosts_of(site, {}))
    except DefinitionsError as error:
        typer.echo(str(error), err=True)
        typer.echo(f"error: {_count(error.problems, 'mistake')}", err=True)
        raise typer.Exit(error.exit_code) from None
    vms, nodes = _count(fleet.definitions, "definition"), _count(fleet.site.nodes, "node")
    typer.echo(f"{vms}, {nodes}: no mistakes")


def _count(things: Sized, noun: str) -> str:
    return f"{len(things)} {noun}{'s' * (len(things) != 1)}"
