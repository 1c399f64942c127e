"""Merging clusters' kubeconfigs into the one of all clusters, and taking one out again.

Documents are values: what is returned shares what did not change, and nothing is altered in place.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from stackyard.definitions.document import is_utf8
from stackyard.kubeconfig.document import (
    KINDS,
    USED,
    Entry,
    Kubeconfig,
    KubeconfigError,
    content,
    dangling,
    entries,
    find,
    names,
    used,
)
from stackyard.kubeconfig.server import check_server, rewrite_server
from stackyard.kubeconfig.shape import check_shape
from stackyard.kubeconfig.tables import Tables

EMPTY: Kubeconfig = {"apiVersion": "v1", "kind": "Config", "preferences": {}}
# What installers call every cluster's context, so that it names none.
NAMELESS = frozenset({"default", "kubernetes-admin@kubernetes"})


@dataclass(frozen=True, slots=True)
class Names:
    """What one cluster is called in the document of all: `user` is by default the cluster's."""

    context: str
    cluster: str
    user: str = ""


@dataclass(frozen=True, slots=True)
class Incoming:
    """One context to be merged: the document's current or only one.

    `called` None keeps its names; `server` replaces the API's address, or its host.
    """

    document: Kubeconfig
    called: Names | None = None
    server: str | None = None


def merge_all(
    existing: Kubeconfig | None, incoming: Iterable[Incoming], force: bool = False
) -> Kubeconfig:
    """Return the existing document with each incoming context in it, one after the other.

    Other entries, unknown fields and `current-context` stay as they are, but the first context of
    all becomes the current one. An entry of the same name is replaced in its place, and what only
    the replaced context used goes with it.

    Raises:
        KubeconfigError: an incoming document has no clear context or a dangling one, a name is
            empty or no text, or kubectl could not read what is merged; without `force` also where a
            name belongs to another server, or two of the incoming ones have it and differ.
    """
    merged = existing or EMPTY
    tables = Tables(merged)
    brought: dict[tuple[str, str], Entry] = {}
    for one in incoming:
        renamed = _renamed(one)
        if not force:
            tables.refuse_another(renamed)
            _refuse_rivals(renamed, brought)
        tables.put(renamed)
    made = {**merged, **tables.lists()}
    if made["contexts"] and not entries(merged, "contexts") and not merged.get("current-context"):
        made["current-context"] = made["contexts"][0]["name"]
    return made


def remove(existing: Kubeconfig, context: str) -> Kubeconfig:
    """Return the document without a context and what only it used; unchanged where it is absent."""
    if find(existing, "contexts", context) is None:
        return existing
    tables = Tables(existing)
    tables.drop(context)
    left = {**existing, **tables.lists()}
    if left.get("current-context") == context:
        left["current-context"] = ""
    return left


def select(existing: Kubeconfig, context: str | None = None) -> Kubeconfig:
    """Return the document with one context alone, made the current one; by default the current.

    Raises:
        KubeconfigError: there is no such context, or it dangles.
    """
    if context is not None:
        existing = use(existing, context)
    parts = _parts(existing)
    chosen = {kind: [part] for kind, part in parts.items()}
    return {**existing, **chosen, "current-context": parts["contexts"]["name"]}


def use(existing: Kubeconfig, context: str) -> Kubeconfig:
    """Return the document with another current context.

    Raises:
        KubeconfigError: there is no such context.
    """
    if find(existing, "contexts", context) is None:
        known = ", ".join(names(entries(existing, "contexts"))) or "none"
        raise KubeconfigError(f"there is no context {context}: there is {known}")
    return {**existing, "current-context": context}


def every_context(document: Kubeconfig, stem: str | None) -> list[Incoming]:
    """Return each context under its own names.

    An only context that its installer named as every other (`default`) is called as the file's
    `stem`, None where it comes from no file, and so are its cluster and user.

    Raises:
        KubeconfigError: there is no context, one dangles, or the only one has no name of its own.
    """
    found = names(entries(document, "contexts"))
    if not found:
        raise KubeconfigError(f"the kubeconfig{f' {stem}' if stem else ''} has no context")
    if len(found) == 1 and found[0] in NAMELESS:
        if stem is None:
            raise KubeconfigError(
                f"the only context is called {found[0]} as every installer's, and comes from no"
                " file that could name it: give it a name (--context)"
            )
        return [Incoming(select(document, found[0]), Names(stem, stem))]
    return [Incoming(select(document, name)) for name in found]


def _parts(document: Kubeconfig) -> dict[str, Entry]:
    """Return the current context, or the only one, with its cluster and its user."""
    contexts = entries(document, "contexts")
    current = document.get("current-context")
    found = find(document, "contexts", str(current)) if current else None
    if found is None and len(contexts) == 1:
        found = contexts[0]
    if found is None:
        count = len(contexts)
        raise KubeconfigError(f"the kubeconfig has {count} contexts and none of them is current")
    parts = {}
    for kind in USED:
        name = used(found, kind)
        entry = find(document, kind, str(name))
        if entry is None:
            raise KubeconfigError(f"the context {found['name']} {dangling(kind, name)}")
        parts[kind] = entry
    return {**parts, "contexts": found}


def _refuse_rivals(parts: dict[str, Entry], brought: dict[tuple[str, str], Entry]) -> None:
    """Refuse a name that an earlier one of the same merge has for something else."""
    for kind, entry in parts.items():
        if brought.setdefault((kind, entry["name"]), entry) != entry:
            raise KubeconfigError(
                f"two of the kubeconfigs have a {KINDS[kind]} {entry['name']}, and not the same"
                " one: merge each alone under a name of its own (--context)"
            )


def _renamed(incoming: Incoming) -> dict[str, Entry]:
    parts = _parts(incoming.document)
    for kind, entry in parts.items():
        check_shape(kind, entry)
    called = incoming.called or Names(
        parts["contexts"]["name"], parts["clusters"]["name"], parts["users"]["name"]
    )
    user = called.user or called.cluster
    if not all((called.context, called.cluster, user)):
        raise KubeconfigError("a context, a cluster and a user need a name that is not empty")
    for name in (called.context, called.cluster, user):
        if not is_utf8(name):  # of an argument or a file; nobody could read the document again
            raise KubeconfigError(f"{name!a} is no name: it is not UTF-8 text")
    server = check_server(content("clusters", parts["clusters"]).get("server"), called.cluster)
    if incoming.server is not None:
        server = rewrite_server(server, incoming.server, called.cluster)
    return {
        "clusters": _named("clusters", parts["clusters"], called.cluster, {"server": server}),
        "users": _named("users", parts["users"], user, {}),
        "contexts": _named(
            "contexts", parts["contexts"], called.context, {"cluster": called.cluster, "user": user}
        ),
    }


def _named(kind: str, entry: Entry, name: str, fields: dict[str, Any]) -> Entry:
    return {**entry, "name": name, KINDS[kind]: {**content(kind, entry), **fields}}
