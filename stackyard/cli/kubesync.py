"""`stackyard kubeconfig sync`: Vault's kubeconfig and the one in Git agree."""

from typing import Annotated

import typer

from stackyard.cli.kubeoptions import (
    DEFAULT_STORE,
    CheckOption,
    DiffOption,
    StoreOption,
    end,
    opened,
)

TWIN = "sops:secrets/common/cluster-secret-store/secrets/KUBECONFIG.yaml"


def sync(
    twin: Annotated[
        str, typer.Option("--with", help="The SOPS file in Git.", metavar="sops:FILE")
    ] = TWIN,
    prefer: Annotated[
        str | None,
        typer.Option(help="Whose to take where both changed.", metavar="store|sops"),
    ] = None,
    check: CheckOption = False,
    diff: DiffOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Make the store and the SOPS file agree; say which side changed since they last did.

    Where both changed nothing is written (exit 5), unless --prefer says whose to take.
    """
    from stackyard.kubeconfig.diff import changed_contexts, difference
    from stackyard.stores.sops import SopsStore
    from stackyard.stores.sync import Side, plan_sync
    from stackyard.stores.sync import sync as carry_out

    if prefer not in {None, *Side}:
        raise typer.BadParameter("--prefer is store or sops")
    ours, theirs = opened(store), opened(twin)
    if not isinstance(theirs, SopsStore):
        raise typer.BadParameter("--with is sops:FILE")
    side = Side(prefer) if prefer else None
    plan = plan_sync(ours, theirs, side) if check else carry_out(ours, theirs, side)
    if diff and plan.taken:
        typer.echo(difference(plan.before, plan.after), nl=False)
    if plan.taken is None:
        word = "would remember" if check else "remembers"
        said = "" if plan.remembered else f", and {theirs.name} {word} it"
        typer.echo(f"both agree{said}", err=True)
        end(check and not plan.remembered)
        return
    names = (ours.name, theirs.name) if plan.taken is Side.STORE else (theirs.name, ours.name)
    why = f"{names[0]} changed since"
    if plan.before is None:
        why = f"{names[1]} has none"
    elif plan.overruled:
        why = f"both changed since, and {names[0]} is preferred"
    word = "would be taken" if check else "was taken"
    typer.echo(f"{why}: {names[0]} {word} for {names[1]}", err=True)
    for name, change in changed_contexts(plan.before, plan.after).items():
        typer.echo(f"  {name}: {change}", err=True)
    end(check)
