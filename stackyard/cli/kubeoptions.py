"""What the commands of `stackyard kubeconfig` share."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from stackyard.cli.options import CHANGES

if TYPE_CHECKING:
    from stackyard.stores import Store
    from stackyard.stores.kubeconfigs import Outcome

DEFAULT_STORE = "vault:kv/cluster-secret-store/secrets/KUBECONFIG"
StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        help="vault:MOUNT/PATH, sops:FILE, file:FILE or k8s:NAMESPACE/NAME.",
        metavar="STORE",
    ),
]
CheckOption = Annotated[
    bool, typer.Option("--check", help="Write nothing; exit 2 if there is something to write.")
]
DiffOption = Annotated[
    bool, typer.Option("--diff", help="Print what changes, every credential masked.")
]


def opened(address: str) -> "Store":
    """Return the store of an address, with this process's environment."""
    from stackyard.stores import open_store

    return open_store(address, os.environ)


def carry_out(
    address: str, check: bool, diff: bool, change: "Callable[[Store], Outcome]"
) -> "Outcome":
    """Change the document of a store, or see what would change, and print the difference."""
    from stackyard.kubeconfig.diff import difference
    from stackyard.stores.protocol import ReadOnly

    store = opened(address)
    outcome = change(ReadOnly(store) if check else store)
    if diff:
        typer.echo(difference(outcome.before, outcome.after), nl=False)
    return outcome


def end(would_change: bool) -> None:
    """End with the exit code of `--check`."""
    if would_change:
        raise typer.Exit(CHANGES)
