"""`stackyard destroy`: remove one VM that is ours, and its disks."""

from typing import Annotated

import typer

from stackyard.cli.options import HERE, Site, complete_vms
from stackyard.cli.vms import Audit, Verbose, Yes


def destroy(
    name: Annotated[
        str, typer.Argument(help="The VM's name.", metavar="NAME", autocompletion=complete_vms)
    ],
    site: Site = HERE,
    yes: Yes = False,
    verbose: Verbose = False,
    audit: Audit = None,
) -> None:
    """Remove a VM of ours with all its disks; refused where it is protected."""
    from stackyard.cli import vms
    from stackyard.proxmox.converge import apply_and_look
    from stackyard.proxmox.planning import plan_removal

    definitions, fleet_site = vms.load(site)
    with vms.connected() as client:
        planned, _observed = plan_removal(client, name, definitions, fleet_site)
        vms.show_plan(planned)
        vms.ask(f"Destroy {name}?", yes)
        with vms.working(audit, site, verbose, planned) as work:
            outcome = apply_and_look(client, planned, definitions, fleet_site, work.terms)
    vms.show_outcome(outcome, work)
