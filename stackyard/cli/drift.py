"""`stackyard drift`: what is not as defined. Reads only; exit code 0 nothing, 2 drift, 1 error."""

from typing import Annotated

import typer

from stackyard.cli.options import CHANGES, HERE, Site
from stackyard.cli.vms import Limit


def drift(
    site: Site = HERE,
    limit: Limit = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the plan that would mend it as JSON.")
    ] = False,
) -> None:
    """Show what differs from the definitions, for a nightly job (exit code 2: something does)."""
    from stackyard.cli import vms
    from stackyard.plan import select, to_json
    from stackyard.plan.drift import consent_of_drift, has_drift, render_drift
    from stackyard.proxmox.planning import plan_fleet

    definitions, fleet_site = vms.load(site)
    names = vms.patterns(limit)
    agreed = consent_of_drift(names)
    with vms.connected() as client:
        planned, observed = plan_fleet(client, definitions, fleet_site, names, agreed)
    typer.echo(to_json(planned) if as_json else render_drift(planned))
    wanted = {definition.target_node for definition in select(definitions, names)}
    silent = sorted(node for node in wanted if observed.nodes.get(node) is False)
    if silent:
        typer.echo(f"error: not all could be told: {', '.join(silent)} did not answer", err=True)
        raise typer.Exit(1)
    if has_drift(planned):
        raise typer.Exit(CHANGES)
