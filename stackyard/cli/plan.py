"""`stackyard plan`: what apply would do. Reads only; exit code 0 nothing, 2 changes, 1 an error."""

from typing import Annotated

import typer

from stackyard.cli.options import HERE, Site
from stackyard.cli.vms import Limit

CHANGES = 2


def plan(
    site: Site = HERE,
    limit: Limit = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Show what apply would do to the VMs (exit code 2: there is something to do)."""
    from stackyard.cli import vms
    from stackyard.plan import to_json
    from stackyard.proxmox.converge import plan_fleet

    definitions, fleet_site = vms.load(site)
    with vms.connected() as client:
        planned, _observed = plan_fleet(client, definitions, fleet_site, limit)
    if as_json:
        typer.echo(to_json(planned))
    else:
        vms.show_plan(planned)
    if planned.problems:
        raise typer.Exit(1)
    if not planned.is_empty:
        raise typer.Exit(CHANGES)
