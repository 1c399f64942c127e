"""`stackyard apply`: make the real VMs the defined ones."""

import typer

from stackyard.cli.options import HERE, Site
from stackyard.cli.vms import Audit, Limit, Yes


def apply(site: Site = HERE, limit: Limit = None, yes: Yes = False, audit: Audit = None) -> None:
    """Plan, ask, and carry the plan out; VMs that fail do not stop the others."""
    from stackyard.cli import vms
    from stackyard.proxmox.converge import apply_and_look, plan_fleet

    definitions, fleet_site = vms.load(site)
    with vms.connected() as client:
        planned, _observed = plan_fleet(client, definitions, fleet_site, limit)
        vms.show_plan(planned)
        if planned.is_empty:
            return
        if not vms.agreed("Carry this out?", yes):
            typer.echo("nothing was done", err=True)
            raise typer.Exit(1)
        with vms.reporting(audit) as processor:
            outcome = apply_and_look(client, planned, definitions, fleet_site, (processor,))
    vms.show_outcome(outcome)
