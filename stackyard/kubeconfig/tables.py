"""The entries of one document by name, and which contexts use which: for merging many at once."""

from collections.abc import Iterator

from stackyard.kubeconfig.document import (
    KINDS,
    USED,
    Entry,
    Kubeconfig,
    KubeconfigError,
    by_name,
    content,
    used,
)
from stackyard.kubeconfig.server import same_server, shown

Parts = dict[str, Entry]


class Tables:
    """A document's entries, in their order; the document itself stays as it is."""

    def __init__(self, document: Kubeconfig) -> None:
        self._entries = {kind: by_name(document, kind) for kind in KINDS}
        self._users: dict[tuple[str, str], set[str]] = {}
        for context in self._entries["contexts"].values():
            self._count(context)

    def lists(self) -> dict[str, list[Entry]]:
        """Return the document's three lists."""
        return {kind: list(found.values()) for kind, found in self._entries.items()}

    def put(self, parts: Parts) -> None:
        """Put a context, its cluster and its user in, each in the place of its name."""
        context = parts["contexts"]
        before = self._entries["contexts"].get(context["name"])
        for kind, entry in parts.items():
            self._entries[kind][entry["name"]] = entry
        if before is not None:
            self._uncount(before)
        self._count(context)
        if before is not None:
            self._drop_orphans(before)

    def drop(self, context: str) -> None:
        """Take a context out, and the cluster and the user that no other one uses."""
        gone = self._entries["contexts"].pop(context)
        self._uncount(gone)
        self._drop_orphans(gone)

    def refuse_another(self, parts: Parts) -> None:
        """Refuse names that another server has: two clusters would become one.

        Raises:
            KubeconfigError: with the name and both servers.
        """
        server = content("clusters", parts["clusters"]).get("server")
        for kind, entry in parts.items():
            for cluster in self._clusters_of(kind, entry["name"]):
                other = content("clusters", self._entries["clusters"].get(cluster)).get("server")
                if other and not same_server(other, server):
                    raise KubeconfigError(
                        f"the {KINDS[kind]} {entry['name']} is there already, with the server"
                        f" {shown(other)} and not {shown(server)}: give it another name"
                        " (--context), remove the other first, or replace it (--force)"
                    )

    def _clusters_of(self, kind: str, name: str) -> Iterator[str]:
        """Name the clusters to which an entry of this kind and name leads now."""
        if kind == "clusters":
            yield name
            return
        contexts = {name} if kind == "contexts" else self._users.get(("users", name), set())
        for context in contexts:
            cluster = used(self._entries["contexts"].get(context), "clusters")
            if isinstance(cluster, str):
                yield cluster

    def _count(self, context: Entry) -> None:
        for pair in _used(context):
            self._users.setdefault(pair, set()).add(context["name"])

    def _uncount(self, context: Entry) -> None:
        for pair in _used(context):
            self._users[pair].discard(context["name"])

    def _drop_orphans(self, context: Entry) -> None:
        for kind, name in _used(context):
            if not self._users[kind, name]:
                self._entries[kind].pop(name, None)


def _used(context: Entry) -> Iterator[tuple[str, str]]:
    for kind in USED:
        name = used(context, kind)
        if isinstance(name, str):
            yield kind, name
