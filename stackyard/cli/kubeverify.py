"""`stackyard kubeconfig verify`: does every cluster answer?"""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from stackyard.cli.kubeoptions import DEFAULT_STORE, StoreOption, opened
from stackyard.cli.options import check_seconds, table

if TYPE_CHECKING:
    from stackyard.stores.clusters import Health

HEAD = ("CONTEXT", "REACHABLE", "VERSION", "NODES READY", "DAYS LEFT", "PROBLEM")


def verify(
    contexts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]…", help="These contexts.", show_default="all"),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(help="For each request.", metavar="SECONDS", min=0.1, callback=check_seconds),
    ] = 10.0,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Connect to every cluster at once: version, nodes ready, days until a certificate ends.

    Exits with 1 when one fails.
    """
    from stackyard.kubeconfig import use
    from stackyard.kubeconfig.document import entries, names
    from stackyard.kubeconfig.validate import check_current
    from stackyard.stores import clusters
    from stackyard.stores.kubeconfigs import read_clusters

    document = read_clusters(opened(store))
    for name in contexts or ():
        use(document, name)
    wanted = contexts or names(entries(document, "contexts"))
    results = clusters.verify(document, wanted, os.environ, timeout)
    for line in table(HEAD, [_row(result) for result in results]):
        typer.echo(line)
    for finding in check_current(document):
        typer.echo(f"warning: {finding}", err=True)
    failed = sum(bool(result.problem) for result in results)
    if failed or not results:
        said = f"{failed} of {len(results)} clusters fail" if results else "there is no context"
        typer.echo(f"error: {said}", err=True)
        raise typer.Exit(1)


def _row(health: "Health") -> tuple[str, ...]:
    days = "" if health.days is None else str(health.days)
    nodes = f"{health.ready}/{health.nodes}" if health.reachable else ""
    reachable = "yes" if health.reachable else "no"
    return health.context, reachable, health.version, nodes, days, health.problem
