"""What plan, apply, destroy and run share: settings in, progress and results out."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stackyard.cli.options import complete_vms, table
from stackyard.cli.terminal import can_ask

if TYPE_CHECKING:
    from nornir.core.processor import Processor

    from stackyard.definitions.model import Definition
    from stackyard.fleet import Site as FleetSite
    from stackyard.nornir.audit import AuditLog
    from stackyard.nornir.processor import EventProcessor
    from stackyard.plan import Plan
    from stackyard.proxmox.apply import Reached, Terms
    from stackyard.proxmox.client import Client
    from stackyard.proxmox.converge import Outcome

MOVED = 3

Limit = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        help="Only VMs of these names (may be repeated).",
        metavar="PATTERN[,PATTERN…]",
        autocompletion=complete_vms,
    ),
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
        show_default=".stackyard/audit.jsonl of the site",
    ),
]


def patterns(limit: list[str] | None) -> str | None:
    """Return every pattern of every `--limit` as one."""
    return ",".join(limit) if limit else None


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

    with Client(Settings.from_environment(os.environ), tell=_tell) as client:
        yield client


def _tell(sentence: str) -> None:
    with suppress(OSError):  # that nobody listens ends no step that waits
        typer.echo(sentence, err=True)


@dataclass(frozen=True, slots=True)
class Work:
    """An apply that is under way: its terms, and who is told what happens."""

    terms: "Terms"
    processor: "EventProcessor"


@contextmanager
def auditing(audit: Path | None, site: Path) -> "Iterator[AuditLog]":
    """Open the audit log, before anything is done.

    Raises:
        AuditError, FileError: that is not possible.
    """
    from stackyard.cli.files import check_name, check_not_source
    from stackyard.nornir.audit import AuditError, AuditLog
    from stackyard.run.folder import private_folder

    if audit:
        check_name(audit)
        check_not_source(audit, site)
    try:
        path = audit or private_folder(site) / "audit.jsonl"
    except OSError as error:
        raise AuditError(
            f"{site.resolve()} takes no audit log ({error.strerror}): name a file with --audit FILE"
        ) from error
    log = AuditLog(path)
    try:
        yield log
    finally:
        log.close()


@contextmanager
def working(audit: Path | None, site: Path, verbose: bool, plan: "Plan") -> Iterator[Work]:
    """Give the terms of an apply: its steps are shown and kept, and signals are heeded.

    Raises:
        KeyboardInterrupt: it was left at once; how far each VM came is told.
    """
    from stackyard.cli.interrupt import heeding
    from stackyard.cli.steps import Record, Running, display
    from stackyard.nornir.processor import EventProcessor
    from stackyard.proxmox.apply import Terms
    from stackyard.proxmox.halt import Halt
    from stackyard.stores.references import read_secret

    halt, running, record = Halt(), Running(), Record()
    count = len(list(plan.actions))
    try:
        with (
            auditing(audit, site) as log,
            display(count) as shown,
            heeding(halt, lambda: running.steps),
        ):
            processor = EventProcessor(halt, running, record, shown, log)
            yield Work(Terms((processor, *_details(verbose)), read_secret, halt), processor)
    except KeyboardInterrupt:  # nobody waits for what a look would find
        for line in _table(record.reached(plan)):
            typer.echo(line)
        raise


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
    from stackyard.plan import PlanError

    if yes:
        return
    if not can_ask():
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


def show_outcome(outcome: "Outcome", work: Work) -> None:
    """Print what was reached, a line a VM.

    Raises:
        Exit: something failed (1), or was only left alone because it had moved (3).
        Abort: the run was interrupted.
    """
    from stackyard.cli.interrupt import INTERRUPTED

    for line in _table(outcome.reached):
        typer.echo(line)
    for trouble in filter(None, (work.processor.failure, outcome.unseen)):
        typer.echo(f"error: {trouble}", err=True)
    if work.terms.halt.reason == INTERRUPTED:
        raise typer.Abort
    if outcome.failed and {action.name for action in outcome.failed} <= outcome.moved:
        count, total = len(outcome.failed), len(outcome.reached)
        typer.echo(
            f"error: {count} of {total} VMs are left alone: they, or those that they wait for, "
            "moved since the plan was made",
            err=True,
        )
        raise typer.Exit(MOVED)
    if outcome.failed:
        count, total = len(outcome.failed), len(outcome.reached)
        typer.echo(
            f"error: {count} of {total} VMs did not get there; the rest is kept, run it again",
            err=True,
        )
    if outcome.failed or outcome.unseen or work.processor.failure:
        raise typer.Exit(1)


def _table(reached: "Iterable[Reached]") -> list[str]:
    rows = []
    for action in reached:
        done = ", ".join(action.done)
        result = f"{action.verb}: {done}"
        if action.error:
            result = f"{action.error}; done before: {done}" if done else action.error
        rows.append((action.name, str(action.vmid), action.node, action.state, result))
    return table(("VM", "VMID", "node", "state", "result"), rows)
