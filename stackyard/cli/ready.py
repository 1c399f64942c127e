"""`stackyard ready`: wait until the running VMs answer by ssh, with their host keys pinned."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stackyard.cli.options import HERE, Site, check_seconds, complete_vms, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from stackyard.cli.waiting import Waiting
    from stackyard.proxmox.client import Client
    from stackyard.run.probe import Probe
    from stackyard.run.target import Readiness

Timeout = Annotated[
    float,
    typer.Option(
        "--timeout", help="How long to wait.", metavar="SECONDS", min=0, callback=check_seconds
    ),
]


def ready(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Only these VMs.",
            metavar="[NAME]…",
            show_default="all that run",
            autocompletion=complete_vms,
        ),
    ] = None,
    site: Site = HERE,
    timeout: Timeout = 300.0,
) -> None:
    """Wait until VMs answer by ssh with their pinned host key and cloud-init is done."""
    from stackyard.cli import vms
    from stackyard.cli.progress import Steps
    from stackyard.cli.terminal import is_live
    from stackyard.cli.waiting import LOG_SECONDS, Waiting
    from stackyard.fleet import known_hosts_of, load_fleet
    from stackyard.inventory import build_inventory
    from stackyard.proxmox.observe import observe
    from stackyard.proxmox.sight import check_sight
    from stackyard.run.ready import wait_ready
    from stackyard.run.select import check_names, select_targets

    fleet = load_fleet(site)
    check_names(names or (), fleet.definitions)
    inventory = build_inventory(fleet.definitions, known_hosts_of(site, os.environ))
    with vms.connected() as client:
        observed = observe(client, (), fleet.site, names=[vm.name for vm in fleet.definitions])
        check_sight(client, observed)
        selection = select_targets(fleet.definitions, inventory, observed, names or None)
        with Steps() as step:
            waiting = Waiting(step, 0 if is_live() else LOG_SECONDS)
            waiting.begin(target.name for target in selection.targets)
            look, tell = probe(client, site), showing(waiting)
            results = wait_ready(selection.targets, look, timeout, tell, waiting.not_yet)
    rows = [_row(result) for result in results]
    rows += [(name, "", "no", reason) for name, reason in selection.missing.items()]
    for line in table(("VM", "address", "ready", ""), sorted(rows)):
        typer.echo(line)
    late = sum(row[2] == "no" for row in rows)
    if late:
        typer.echo(f"error: {late} of {len(rows)} VMs not ready", err=True)
        raise typer.Exit(1)


def probe(client: "Client", site: Path) -> "Probe":
    """Make the probe that the environment describes."""
    from stackyard.fleet import known_hosts_of
    from stackyard.run.knownhosts import KnownHosts
    from stackyard.run.probe import Probe, agent_key
    from stackyard.run.ssh import own_key

    return Probe(
        KnownHosts(known_hosts_of(site, os.environ)), agent_key(client), own_key(os.environ)
    )


def showing(waiting: "Waiting") -> "Callable[[Readiness], None]":
    """Return what says on stderr how waiting for a host ended."""

    def show(result: "Readiness") -> None:
        name = result.target.name
        end = "ready" if result.is_ready else result.reason
        typer.echo(f"[{result.seconds:5.1f} s] {name}: {end}", err=True)
        for note in result.notes:
            typer.echo(f"warning: {name}: {note}", err=True)
        waiting.ended(result)

    return show


def _row(result: "Readiness") -> tuple[str, str, str, str]:
    target = result.target
    return target.name, target.address, "yes" if result.is_ready else "no", result.reason
