"""`stackyard kubeconfig`: the kubeconfig of all clusters, wherever it lives."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stackyard.cli import kubesync, kubeverify
from stackyard.cli.kubeoptions import (
    DEFAULT_STORE,
    CheckOption,
    DiffOption,
    StoreOption,
    carry_out,
    end,
    opened,
)
from stackyard.cli.wholehelp import WholeHelp

if TYPE_CHECKING:
    from stackyard.kubeconfig import Incoming, Kubeconfig

app = typer.Typer(
    cls=WholeHelp, help="The kubeconfig of all clusters, in Vault.", no_args_is_help=True
)
app.command("verify")(kubeverify.verify)
app.command("sync")(kubesync.sync)

Context = Annotated[str, typer.Argument(metavar="NAME", help="The context.")]
MOST_LINES = 20


@app.command("list")
def list_contexts(store: StoreOption = DEFAULT_STORE) -> None:
    """Print each context with its cluster's server."""
    from stackyard.kubeconfig.document import by_name, content, entries, used
    from stackyard.kubeconfig.server import shown
    from stackyard.stores.kubeconfigs import read_clusters

    document = read_clusters(opened(store))
    clusters = by_name(document, "clusters")
    for entry in entries(document, "contexts"):
        cluster = clusters.get(str(used(entry, "clusters")))
        typer.echo(f"{entry['name']}\t{shown(content('clusters', cluster).get('server'))}")


@app.command()
def show(
    context: Annotated[str | None, typer.Option(help="This context alone.", metavar="NAME")] = None,
    minify: Annotated[bool, typer.Option("--minify", help="The current context alone.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="A file, made private, instead of stdout.", metavar="FILE")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Print the kubeconfig with its credentials."""
    from stackyard.cli.files import write_atomically
    from stackyard.kubeconfig import dump, select
    from stackyard.stores.kubeconfigs import read_clusters

    document = read_clusters(opened(store))
    is_one = minify or context is not None  # a script's empty variable does not mean all
    text = dump(select(document, context) if is_one else document)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(output, text)


@app.command()
def merge(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE…", help="Kubeconfigs; - is standard input.")
    ],
    context: Annotated[
        str | None,
        typer.Option(help="Take one file's current context alone, and call it so.", metavar="NAME"),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Its cluster's and user's name.", metavar="NAME")
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="Its API's address, or host.", metavar="URL|HOST")
    ] = None,
    use: Annotated[bool, typer.Option("--use", help="Make it the current context.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace another server's.")] = False,
    check: CheckOption = False,
    diff: DiffOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Merge kubeconfigs into the one of all clusters.

    Without --context every context of each file keeps its name; an only one that is called
    `default` or `kubernetes-admin@kubernetes` is called as its file; from a pipe it is refused.
    """
    from stackyard.cli.kubefiles import is_named, read_file
    from stackyard.kubeconfig import Incoming, Names, every_context, merge_all
    from stackyard.kubeconfig import use as make_current
    from stackyard.kubeconfig.diff import changed_contexts
    from stackyard.stores.kubeconfigs import change_clusters

    if context is None and (cluster or server or use):
        raise typer.BadParameter("--cluster, --server and --use need --context")
    if context is not None and len(files) > 1:
        raise typer.BadParameter("--context names the context of one file")
    incoming: list[Incoming] = []
    # For each Path among its arguments typer would build a validator.
    for file in map(Path, files):
        document = read_file(file)
        if context is None:
            incoming += every_context(document, file.stem if is_named(file) else None)
        else:
            incoming.append(Incoming(document, Names(context, cluster or context), server))

    def change(existing: "Kubeconfig | None") -> "Kubeconfig":
        merged = merge_all(existing, incoming, force)
        return make_current(merged, context) if use and context else merged

    outcome = carry_out(store, check, diff, lambda place: change_clusters(place, change))
    _warn(incoming)
    changes = changed_contexts(outcome.before, outcome.after)
    _say([_name(one) for one in incoming], changes, "would be merged" if check else "merged")
    end(outcome.changed and check)


@app.command()
def remove(
    context: Context,
    check: CheckOption = False,
    diff: DiffOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Remove a context, and the cluster and user that only it used."""
    from stackyard.stores.kubeconfigs import remove_cluster

    outcome = carry_out(store, check, diff, lambda place: remove_cluster(place, context))
    word = "would be removed" if check else "removed"
    typer.echo(f"{context}: {word if outcome.changed else 'was not there'}", err=True)
    end(outcome.changed and check)


@app.command()
def use(
    context: Context,
    check: CheckOption = False,
    diff: DiffOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Make a context the current one."""
    from stackyard.stores.kubeconfigs import use_cluster

    outcome = carry_out(store, check, diff, lambda place: use_cluster(place, context))
    word = "would be current" if check else "current"
    typer.echo(f"{context}: {word if outcome.changed else 'was current'}", err=True)
    end(outcome.changed and check)


@app.command()
def export(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The file; it is made private.", readable=False),
    ],
    context: Annotated[
        list[str] | None, typer.Option(help="These contexts alone.", metavar="NAME")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace another server's.")] = False,
    check: CheckOption = False,
    diff: DiffOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Merge the clusters into a kubeconfig file, ~/.kube/config say; what else it has stays."""
    from stackyard.kubeconfig import Incoming, select
    from stackyard.kubeconfig.diff import changed_contexts
    from stackyard.kubeconfig.document import entries, names
    from stackyard.stores.kubeconfigs import keep_clusters, read_clusters

    document = read_clusters(opened(store))
    wanted = context or names(entries(document, "contexts"))
    incoming = [Incoming(select(document, name)) for name in wanted]

    outcome = carry_out(
        f"file:{file}", check, diff, lambda place: keep_clusters(place, incoming, force)
    )
    changes = changed_contexts(outcome.before, outcome.after)
    _say(wanted, changes, "would be written" if check else "written")
    end(outcome.changed and check)


def _name(incoming: "Incoming") -> str:
    if incoming.called is not None:
        return incoming.called.context
    return str(incoming.document["current-context"])


def _warn(incoming: "list[Incoming]") -> None:
    """Say what is wrong with a few contexts; `verify` does it for many."""
    if len(incoming) > MOST_LINES:
        return
    import datetime as dt

    from stackyard.kubeconfig import select
    from stackyard.kubeconfig.validate import validate

    for one in incoming:
        for finding in validate(select(one.document), dt.datetime.now(dt.UTC)):
            typer.echo(f"warning: {_name(one)}: {finding.sentence}", err=True)


def _say(contexts: list[str], changes: dict[str, str], word: str) -> None:
    """Say what became of each context, or of so many."""
    if len(contexts) > MOST_LINES:
        changed = sum(name in changes for name in contexts)
        typer.echo(f"{len(contexts)} contexts: {changed} {word}", err=True)
        return
    for name in contexts:
        typer.echo(f"{name}: {word if name in changes else 'as it was'}", err=True)
