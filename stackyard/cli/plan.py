"""`stackyard plan`: what apply would do. Reads only; exit code 0 nothing, 2 changes, 1 an error."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stackyard.cli.consent import DataLoss, Detach, Prune, Replace
from stackyard.cli.options import CHANGES, HERE, Site
from stackyard.cli.vms import Limit

if TYPE_CHECKING:
    from stackyard.plan import Plan


def plan(
    site: Site = HERE,
    limit: Limit = None,
    replace: Replace = None,
    prune: Prune = False,
    detach: Detach = False,
    data_loss: DataLoss = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    markdown: Annotated[
        bool,
        typer.Option("--markdown", help="Print it for a pull request, in 65,000 characters."),
    ] = False,
    rest: Annotated[
        Path | None,
        typer.Option(
            "--rest", help="With --markdown: the whole, where it had to be cut.", metavar="FILE"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Keep the plan for `stackyard apply FILE`.", metavar="FILE"),
    ] = None,
) -> None:
    """Show what apply would do to the VMs (exit code 2: there is something to do)."""
    from stackyard.cli import vms
    from stackyard.cli.consent import consent
    from stackyard.cli.files import check_not_source, write_atomically
    from stackyard.plan import to_json
    from stackyard.proxmox.planning import plan_fleet

    if as_json and markdown:
        raise typer.BadParameter("--json and --markdown are two forms of one answer: give one")
    if rest and not markdown:
        raise typer.BadParameter("--rest needs --markdown")
    for file in filter(None, (out, rest)):
        check_not_source(file, site)
    names = vms.patterns(limit)
    agreed = consent(replace, prune, detach, data_loss, names)
    definitions, fleet_site = vms.load(site)
    with vms.connected() as client:
        planned, _observed = plan_fleet(client, definitions, fleet_site, names, agreed)
    if out:
        write_atomically(out, to_json(planned) + "\n")
    if as_json:
        typer.echo(to_json(planned))
    elif markdown:
        _show_markdown(planned, rest)
    else:
        vms.show_plan(planned)
    if planned.problems:
        raise typer.Exit(1)
    if not planned.is_empty:
        raise typer.Exit(CHANGES)


def _show_markdown(planned: "Plan", rest: Path | None) -> None:
    from stackyard.cli.files import write_atomically
    from stackyard.plan.markdown import render_markdown

    page = render_markdown(planned, rest=None if rest is None else rest.name)
    if rest and page.is_cut:
        write_atomically(rest, page.whole)
    typer.echo(page.text, nl=False)
