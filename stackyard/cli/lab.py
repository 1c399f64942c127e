"""`stackyard lab`: the embedded platform, up, down, and what goes on inside it."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stackyard.cli.options import table
from stackyard.cli.wholehelp import WholeHelp

if TYPE_CHECKING:
    from stackyard.lab.control import Lab

app = typer.Typer(
    cls=WholeHelp,
    help="A Proxmox VE endpoint, machines, Vault and a mirror, on this machine alone.",
    no_args_is_help=True,
)

Dir = Annotated[Path, typer.Option("--dir", help="The lab's folder.", metavar="DIR")]
LAB = Path(".lab")
Cache = Annotated[
    Path,
    typer.Option("--cache", help="Where machine images and packages stay.", metavar="DIR"),
]
CACHE = Path(".cache/lab")


@app.command()
def up(
    directory: Dir = LAB,
    cache: Cache = CACHE,
    platform: Annotated[
        Path | None,
        typer.Option(
            "--platform",
            help="The platform to play.",
            metavar="FILE",
            readable=False,
            show_default="the example",
        ),
    ] = None,
    no_machines: Annotated[
        bool, typer.Option("--no-machines", help="Only simulate the machines.")
    ] = False,
) -> None:
    """Start the lab; one that is up already stays as it is."""
    from stackyard.cli.progress import Steps
    from stackyard.lab import control, requirements
    from stackyard.lab.platform_file import EXAMPLE

    reason = "--no-machines" if no_machines else requirements.why_simulated()
    with Steps() as report:
        lab = control.up(directory, cache, platform or EXAMPLE, report, machines=reason is None)
    if lab.settings.simulated:
        why = f": {reason}" if reason else ""
        typer.echo(f"machines are simulated{why}: VMs start, but nothing boots in them", err=True)
    _show_services(lab)


@app.command()
def down(directory: Dir = LAB) -> None:
    """Stop the lab and remove all of it but the cache."""
    from stackyard.lab import control

    removed = control.down(directory)
    typer.echo("the lab is down" if removed else "no lab was up", err=True)


@app.command()
def status(directory: Dir = LAB) -> None:
    """Show where the lab answers and which machines it has."""
    from stackyard.lab import overview

    lab = _running(directory)
    _show_services(lab)
    rows = [(str(m.vmid), m.name, m.node, m.address, m.status) for m in overview.machines(lab)]
    for line in ("", *table(("VMID", "VM", "node", "address", "status"), rows)):
        typer.echo(line)


@app.command()
def env(directory: Dir = LAB) -> None:
    """Print the exports that point the product at the lab."""
    for name, value in _running(directory).environment.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command(name="exec")
def execute(
    command: Annotated[list[str], typer.Argument(metavar="-- CMD...", help="What to run.")],
    directory: Dir = LAB,
) -> None:
    """Run a command inside the lab's network; its exit code is ours."""
    from stackyard.lab import entry

    entry.replace_process(_running(directory), command, os.environ)


@app.command()
def shell(directory: Dir = LAB) -> None:
    """Open a shell inside the lab's network."""
    from stackyard.lab import entry

    lab = _running(directory)
    is_apart = not lab.settings.simulated
    where = "inside the lab" if is_apart else "in your own network, with the lab's variables"
    typer.echo(f"{where}; leave with: exit", err=True)
    entry.replace_process(lab, [entry.shell(os.environ)], os.environ)


def _running(directory: Path) -> "Lab":
    from stackyard.lab import control
    from stackyard.lab.errors import LabError

    lab = control.find(directory)
    if lab is None:
        raise LabError(f"no lab is up in {directory}; run: stackyard lab up")
    return lab


def _show_services(lab: "Lab") -> None:
    typer.echo(f"Proxmox VE  {lab.services.proxmox}")
    typer.echo(f"Vault       {lab.services.vault}")
    typer.echo(f"mirror      {lab.services.mirror}")
    typer.echo(f"folder      {lab.folder.path} (log: daemon.log)")
