"""The kubeconfig of all clusters in its store: what the action plugin and the commands call."""

from collections.abc import Callable
from dataclasses import dataclass, field

from stackyard.kubeconfig import Kubeconfig, Names, dump, merge, parse, remove
from stackyard.stores.protocol import Store, StoreError
from stackyard.stores.update import update

Change = Callable[[Kubeconfig | None], Kubeconfig | None]


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster's kubeconfig and what it is to be called in the document of all."""

    content: str = field(repr=False)
    context: str
    name: str | None = None  # of the cluster and its user; by default the context's
    server: str | None = None  # the API's address, where it differs from the content's
    force: bool = False  # replace a cluster of this name that has another server


def keep_cluster(store: Store, cluster: Cluster, *, check: bool = False) -> bool:
    """Merge one cluster's kubeconfig into the document; tell whether that changed it.

    With `check` nothing is written.

    Raises:
        KubeconfigError: one of the two documents cannot be used.
        StoreError: the store could not be read or written.
    """
    incoming = parse(cluster.content, f"the kubeconfig of {cluster.context}")
    called = Names(cluster.context, cluster.name or cluster.context)
    return _change(
        store,
        lambda document: merge(document, incoming, called, cluster.server, cluster.force),
        check=check,
    )


def remove_cluster(store: Store, context: str, *, check: bool = False) -> bool:
    """Remove a context and what only it used; tell whether it was there.

    Raises:
        KubeconfigError: the document cannot be used.
        StoreError: the store could not be read or written.
    """
    return _change(
        store,
        lambda document: remove(document, context) if document is not None else None,
        check=check,
    )


def read_clusters(store: Store) -> Kubeconfig:
    """Return the document of all clusters.

    Raises:
        KubeconfigError: it cannot be used.
        StoreError: the store could not be read, or has none.
    """
    text = store.read().document
    if text is None:
        raise StoreError(f"{store.name}: there is no kubeconfig yet")
    return parse(text, f"the kubeconfig in {store.name}")


def _change(store: Store, change: Change, *, check: bool) -> bool:
    def function(text: str | None) -> str | None:
        # A document that cannot be parsed is an error and never an empty one.
        before = None if text is None else parse(text, f"the kubeconfig in {store.name}")
        after = change(before)
        # Compared as values: another writer's formatting is no difference.
        return None if after is None or after == before else dump(after)

    if check:
        return function(store.read().document) is not None
    return update(store, function)
