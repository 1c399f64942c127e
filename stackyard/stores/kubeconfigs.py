"""The kubeconfig of all clusters in its store: what the action plugin and the commands call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from stackyard.kubeconfig import (
    Incoming,
    Kubeconfig,
    KubeconfigError,
    Names,
    dump,
    merge_all,
    parse,
    remove,
    use,
)
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """The document before and after a change; None where there was none."""

    before: Kubeconfig | None = field(repr=False)
    after: Kubeconfig | None = field(repr=False)

    @property
    def changed(self) -> bool:
        """Tell whether the document had to change."""
        return self.before != self.after


def keep_cluster(store: Store, cluster: Cluster) -> Outcome:
    """Merge one cluster's kubeconfig into the document.

    Raises:
        KubeconfigError: one of the two documents cannot be used.
        StoreError: the store could not be read or written.
    """
    incoming = parse(cluster.content, f"the kubeconfig of {cluster.context}")
    called = Names(cluster.context, cluster.name or cluster.context)
    return keep_clusters(store, [Incoming(incoming, called, cluster.server)], cluster.force)


def keep_clusters(store: Store, incoming: Sequence[Incoming], force: bool = False) -> Outcome:
    """Merge several contexts into the document at once; `force` as in `merge_all`.

    Raises:
        KubeconfigError: one of the documents cannot be used.
        StoreError: the store could not be read or written.
    """
    return change_clusters(store, lambda document: merge_all(document, incoming, force))


def remove_cluster(store: Store, context: str) -> Outcome:
    """Remove a context and what only it used; an absent one changes nothing.

    Raises:
        KubeconfigError: the document cannot be used.
        StoreError: the store could not be read or written.
    """
    return change_clusters(store, lambda document: document and remove(document, context))


def use_cluster(store: Store, context: str) -> Outcome:
    """Make a context the current one.

    Raises:
        KubeconfigError: the document cannot be used, or has no such context.
        StoreError: the store could not be read or written.
    """

    def change(document: Kubeconfig | None) -> Kubeconfig:
        if document is None:
            raise KubeconfigError(f"{store.name}: there is no kubeconfig yet")
        return use(document, context)

    return change_clusters(store, change)


def read_clusters(store: Store) -> Kubeconfig:
    """Return the document of all clusters.

    Raises:
        KubeconfigError: it cannot be used.
        StoreError: the store could not be read, or has none.
    """
    document = as_document(store, store.read().document)
    if document is None:
        raise StoreError(f"{store.name}: there is no kubeconfig yet")
    return document


def as_document(store: Store, text: str | None) -> Kubeconfig | None:
    """Return a store's text as a document; None where there is none.

    Raises:
        KubeconfigError: it cannot be used.
    """
    return None if text is None else parse(text, f"the kubeconfig in {store.name}")


def change_clusters(store: Store, change: Change) -> Outcome:
    """Replace the document by what a function makes of it; a document that stays is not written.

    Raises:
        KubeconfigError: the document cannot be used.
        StoreError: the store could not be read or written.
    """
    outcome = Outcome(None, None)

    def function(text: str | None) -> str | None:
        nonlocal outcome
        before = as_document(store, text)
        outcome = Outcome(before, change(before))
        return dump(outcome.after) if outcome.after and outcome.changed else None

    update(store, function)
    return outcome
