"""`stackyard run`: carry out what a commit's message asks for."""

import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from stackyard.cli.options import HERE, Site, table
from stackyard.cli.ready import Timeout, probe, showing
from stackyard.cli.vms import Audit

if TYPE_CHECKING:
    from stackyard.run.play import PlayEvent
    from stackyard.run.report import Report


def run(
    commit: Annotated[str, typer.Option("--commit", help="The commit.", metavar="REV")],
    site: Site = HERE,
    timeout: Timeout = 300.0,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what Ansible says.")] = (
        False
    ),
    audit: Audit = None,
) -> None:
    """Do what a commit's tags ask for: [ansible NAME], the name of a VM or of a play.

    The VMs are created or updated, waited for, and configured by their plays. Definitions and
    plays are those that the site's folder has now, whichever commit is named.
    """
    from stackyard.cli import vms
    from stackyard.cli.interrupt import halting
    from stackyard.cli.leave import SIGNALS
    from stackyard.cli.steps import StepLines
    from stackyard.cli.waiting import Waiting
    from stackyard.nornir.processor import EventProcessor
    from stackyard.proxmox.halt import Halt
    from stackyard.routing import near_misses
    from stackyard.run.means import Listener, Means
    from stackyard.run.pipeline import carry_out
    from stackyard.run.request import read_request

    request = read_request(site, commit, os.environ)
    for text in near_misses(request.commit.message):
        what = f"commit {request.commit.short} has {text}, which is no tag"
        typer.echo(f"warning: {what}: one is written [ansible NAME]", err=True)
    if not request.routes:
        typer.echo(f"commit {request.commit.short} has no tag [ansible NAME]: nothing to do")
        return
    output = sys.stderr.fileno() if verbose else None
    halt = Halt()
    with vms.connected() as client, vms.auditing(audit, site) as log:
        processor = EventProcessor(halt, StepLines(), log)
        waiting = Waiting(_step)
        listener = Listener(
            step=_step,
            play=_play,
            ready=showing(waiting),
            not_yet=waiting.not_yet,
            processors=(processor,),
            change=processor.tell,
            halt=halt,
        )
        means = Means(
            client, probe(client, site), site.absolute(), os.environ, output, timeout, listener
        )
        with halting(halt, signal.SIGINT, *SIGNALS):
            report = carry_out(request, means)
    _print(report)
    failure = processor.failure or report.failure
    if failure:
        typer.echo(f"error: {failure}", err=True)
        raise typer.Exit(1)


def _step(text: str) -> None:
    typer.echo(text, err=True)


def _play(event: "PlayEvent") -> None:
    if event.kind in ("changed", "failed", "unreachable"):
        said = f": {event.message}" if event.message else ""
        with suppress(OSError):  # what runs goes on to its end, though nobody listens
            typer.echo(f"  {event.kind} {event.host}: {event.task}{said}", err=True)


def _print(report: "Report") -> None:
    for note in report.notes:
        typer.echo(f"note: {note}", err=True)
    rows = [
        (play, host, report.applied.get(host, ""), f"ok={result.ok} changed={result.changed}")
        for play, hosts in report.played.items()
        for host, result in sorted(hosts.items())
    ]
    for line in table(("play", "VM", "apply", "result"), rows):
        typer.echo(line)
