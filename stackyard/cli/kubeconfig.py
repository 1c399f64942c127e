"""`stackyard kubeconfig`: the kubeconfig of all clusters, wherever it lives."""

import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The kubeconfig of all clusters, in Vault.", no_args_is_help=True)

DEFAULT_STORE = "vault:kv/cluster-secret-store/secrets/KUBECONFIG"
StoreOption = Annotated[
    str, typer.Option("--store", help="vault:MOUNT/PATH or file:PATH.", metavar="STORE")
]


@app.command("list")
def list_contexts(store: StoreOption = DEFAULT_STORE) -> None:
    """Print each context with its cluster's server."""
    from stackyard.kubeconfig.document import entries, find
    from stackyard.stores import open_store
    from stackyard.stores.kubeconfigs import read_clusters

    document = read_clusters(open_store(store, os.environ))
    for entry in entries(document, "contexts"):
        cluster = find(document, "clusters", str((entry["context"] or {}).get("cluster")))
        server = ((cluster or {}).get("cluster") or {}).get("server", "")
        typer.echo(f"{entry['name']}\t{server}")


@app.command()
def show(
    context: Annotated[str | None, typer.Option(help="This context alone.", metavar="NAME")] = None,
    output: Annotated[
        Path | None, typer.Option(help="A file, made private, instead of stdout.", metavar="FILE")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Print the kubeconfig with its credentials."""
    from stackyard.kubeconfig import dump, select
    from stackyard.stores import open_store
    from stackyard.stores.file import FileStore
    from stackyard.stores.kubeconfigs import read_clusters
    from stackyard.stores.update import update

    document = read_clusters(open_store(store, os.environ))
    text = dump(select(document, context) if context else document)
    if output is None:
        typer.echo(text, nl=False)
    else:
        update(FileStore(output), lambda _: text)


@app.command()
def merge(
    file: Annotated[Path, typer.Argument(help="The kubeconfig of one cluster.")],
    context: Annotated[str, typer.Option(help="Its context's new name.", metavar="NAME")],
    cluster: Annotated[
        str | None, typer.Option(help="Its cluster's and user's name.", metavar="NAME")
    ] = None,
    server: Annotated[str | None, typer.Option(help="Its API's address.", metavar="URL")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace another server's.")] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Merge one cluster's kubeconfig into the one of all clusters."""
    from stackyard.kubeconfig import KubeconfigError
    from stackyard.stores import open_store
    from stackyard.stores.kubeconfigs import Cluster, keep_cluster

    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise KubeconfigError(f"{file} cannot be read as text") from None
    incoming = Cluster(content, context, cluster, server, force)
    changed = keep_cluster(open_store(store, os.environ), incoming)
    typer.echo(f"{context}: {'merged' if changed else 'as it was'}", err=True)


@app.command()
def remove(
    context: Annotated[str, typer.Argument(metavar="NAME", help="The context.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Remove a context, and the cluster and user that only it used."""
    from stackyard.stores import open_store
    from stackyard.stores.kubeconfigs import remove_cluster

    removed = remove_cluster(open_store(store, os.environ), context)
    typer.echo(f"{context}: {'removed' if removed else 'was not there'}", err=True)
