"""`stackyard validate`: every mistake of every file, one a line."""

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
        count = len(error.problems)
        typer.echo(f"error: {count} mistake{'s' * (count != 1)}", err=True)
        raise typer.Exit(error.exit_code) from None
    vms, nodes = len(fleet.definitions), len(fleet.site.nodes)
    typer.echo(f"{vms} definitions, {nodes} nodes: no mistakes")
