"""What plan, apply, destroy and run share: settings in, progress and results out."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nornir.core.processor import Processor

    from stackyard.cli.steps import StepLines
    from stackyard.definitions.model import Definition
    from stackyard.fleet import Site as FleetSite
    from stackyard.plan import Plan
    from stackyard.proxmox.apply import Reached, Terms
    from stackyard.proxmox.client import Client
    from stackyard.proxmox.converge import Outcome

MOVED = 3

Limit = Annotated[
    str | None,
    typer.Option("--limit", help="Only VMs of these names.", metavar="PATTERN[,PATTERN…]"),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print what Nornir has on each VM.")]
Audit = Annotated[
    Path | None,
    typer.Option(
        "--audit",
        help="Append what was done to this file, a JSON line for each step.",
        metavar="FILE",
        envvar="STACKYARD_AUDIT",
    ),
]


def load(path: Path) -> "tuple[tuple[Definition, ...], FleetSite]":
    """Load a site and put in what its definitions take from the environment."""
    from stackyard.fleet import load_fleet, resolve

    fleet = load_fleet(path)
    return resolve(fleet.definitions, os.environ), fleet.site


@contextmanager
def connected() -> "Iterator[Client]":
    """Connect to the Proxmox that the environment names."""
    from stackyard.proxmox.client import Client
    from stackyard.proxmox.settings import Settings

    with Client(Settings.from_environment(os.environ)) as client:
        yield client


@contextmanager
def reporting(audit: Path | None, lines: "StepLines | None" = None) -> "Iterator[Processor]":
    """Give a processor that shows each step on stderr, and keeps it where that is wanted."""
    from stackyard.cli.steps import StepLines
    from stackyard.nornir.processor import AuditLog, EventProcessor

    shown = lines or StepLines()
    if audit is None:
        yield EventProcessor(shown)
        return
    log = AuditLog(audit)
    try:
        yield EventProcessor(shown, log)
    finally:
        log.close()


@contextmanager
def working(audit: Path | None, verbose: bool) -> "Iterator[Terms]":
    """Give the terms of an apply: its steps are shown and kept, and Ctrl-C is heeded."""
    from stackyard.cli.interrupt import heeding
    from stackyard.cli.steps import StepLines
    from stackyard.proxmox.apply import Terms
    from stackyard.stores.references import read_secret

    lines = StepLines()
    with reporting(audit, lines) as processor, heeding(lambda: lines.running) as halt:
        yield Terms((processor, *_details(verbose)), read_secret, halt)


def _details(verbose: bool) -> "tuple[Processor, ...]":
    if not verbose:
        return ()
    from stackyard.nornir.details import Details

    return (Details(),)


def ask(question: str, yes: bool) -> None:
    """Ask, unless told not to.

    Raises:
        PlanError: there is nobody to ask.
        Exit: the answer was no (1).
    """
    import sys

    from stackyard.plan import PlanError

    if yes:
        return
    if not sys.stdin.isatty():
        raise PlanError("there is no terminal to ask on: nothing was done, give --yes to do it")
    if not typer.confirm(question, err=True):
        typer.echo("nothing was done", err=True)
        raise typer.Exit(1)


def show_plan(plan: "Plan") -> None:
    """Print a plan.

    Raises:
        Exit: it has problems (1).
    """
    from stackyard.plan import render_text

    typer.echo(render_text(plan))
    if plan.problems:
        typer.echo("error: the plan has problems, so nothing of it is done", err=True)
        raise typer.Exit(1)


def show_outcome(outcome: "Outcome", terms: "Terms") -> None:
    """Print what was reached, a line a VM.

    Raises:
        Exit: something failed (1), or was only left alone because it had moved (3).
        Abort: the run was interrupted.
    """
    for line in _table(outcome.reached):
        typer.echo(line)
    if terms.halt.is_set():
        raise typer.Abort
    if not outcome.failed:
        return
    count, total = len(outcome.failed), len(outcome.reached)
    if {action.name for action in outcome.failed} <= outcome.moved:
        typer.echo(f"error: {count} of {total} VMs moved since the plan was made", err=True)
        raise typer.Exit(MOVED)
    typer.echo(
        f"error: {count} of {total} VMs did not get there; the rest is kept, apply again", err=True
    )
    raise typer.Exit(1)


def _table(reached: "Iterable[Reached]") -> Iterator[str]:
    rows = [("VM", "VMID", "node", "state", "result")]
    for action in reached:
        result = action.error or f"{action.verb}: {', '.join(action.done)}"
        rows.append((action.name, str(action.vmid), action.node, action.state, result))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]])
