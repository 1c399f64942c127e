"""The options that agree to more than the harmless, for `plan` and `apply`."""

from typing import TYPE_CHECKING, Annotated

import typer

from stackyard.cli.options import complete_vms

if TYPE_CHECKING:
    from stackyard.plan import Consent
    from stackyard.plan.consent import Extra

Replace = Annotated[
    list[str] | None,
    typer.Option(
        "--replace",
        help="Destroy this VM with its disks and make it anew (may be repeated).",
        metavar="NAME",
        autocompletion=complete_vms,
    ),
]
Prune = Annotated[
    bool,
    typer.Option(
        "--prune", help="Destroy VMs of ours that have no definition, but no protected ones."
    ),
]
Detach = Annotated[
    bool,
    typer.Option(
        "--detach",
        help="Take disks (they are kept), cards and addresses out that are in no definition.",
    ),
]
DataLoss = Annotated[
    bool,
    typer.Option("--allow-data-loss", help="Delete disks that are in no definition."),
]


def consent(
    replace: list[str] | None, prune: bool, detach: bool, data_loss: bool, limit: str | None
) -> "Consent":
    """Return what the options agree to.

    Raises:
        BadParameter: options that contradict each other.
    """
    from stackyard.plan import Consent

    if prune and limit is not None:
        raise typer.BadParameter("--prune looks at the whole fleet, --limit at a part of it")
    if detach and data_loss:
        raise typer.BadParameter("--detach keeps disks and --allow-data-loss deletes them")
    extra: Extra = "detach" if detach else "erase" if data_loss else "keep"
    return Consent(frozenset(replace or ()), prune, extra)
