"""`stackyard apply`: make the real VMs the defined ones, or carry out a plan that was kept."""

from pathlib import Path
from typing import Annotated

import typer

from stackyard.cli.consent import DataLoss, Detach, Prune, Replace
from stackyard.cli.options import HERE, Site
from stackyard.cli.vms import Audit, Limit, Verbose, Yes

Kept = Annotated[
    Path | None,
    typer.Argument(
        help="A plan of `stackyard plan --out FILE`: exactly that is done.",
        metavar="[FILE]",
        readable=False,
        show_default="a plan made now",
    ),
]


def apply(
    file: Kept = None,
    site: Site = HERE,
    limit: Limit = None,
    replace: Replace = None,
    prune: Prune = False,
    detach: Detach = False,
    data_loss: DataLoss = False,
    yes: Yes = False,
    verbose: Verbose = False,
    audit: Audit = None,
) -> None:
    """Plan, ask, and carry the plan out; VMs that fail do not stop the others."""
    from stackyard.cli import vms
    from stackyard.cli.consent import consent
    from stackyard.proxmox.planning import plan_fleet

    names = vms.patterns(limit)
    agreed = consent(replace, prune, detach, data_loss, names)
    if file is not None:
        if names is not None or replace or prune or detach or data_loss:
            raise typer.BadParameter(f"{file} is a plan already: these options cannot change it")
        _apply_kept(file, site, yes, verbose, audit)
        return
    definitions, fleet_site = vms.load(site)
    with vms.connected() as client:
        planned, _observed = plan_fleet(client, definitions, fleet_site, names, agreed)
        vms.show_plan(planned)
        if planned.is_empty:
            return
        vms.ask("Carry this out?", yes)
        from stackyard.proxmox.converge import apply_and_look  # an empty plan needs none of it

        with vms.working(audit, site, verbose, planned) as work:
            outcome = apply_and_look(client, planned, definitions, fleet_site, work.terms)
    vms.show_outcome(outcome, work)


def _apply_kept(file: Path, site: Path, yes: bool, verbose: bool, audit: Path | None) -> None:
    from stackyard.cli import vms
    from stackyard.fleet.site import load_site
    from stackyard.plan import PlanError, from_json
    from stackyard.proxmox.converge import apply_kept

    try:
        planned = from_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PlanError(f"{file} is no plan: it is no text") from error
    except PlanError as error:
        raise PlanError(f"{file}: {error}") from error
    vms.show_plan(planned)
    if planned.is_empty:
        return
    vms.ask("Carry this out?", yes)
    with vms.connected() as client, vms.working(audit, site, verbose, planned) as work:
        outcome = apply_kept(client, planned, load_site(site), work.terms)
    vms.show_outcome(outcome, work)
