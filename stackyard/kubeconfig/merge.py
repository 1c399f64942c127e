"""Merging one cluster's kubeconfig into the one of all clusters, and taking one out again."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from stackyard.kubeconfig.document import (
    KINDS,
    Entry,
    Kubeconfig,
    KubeconfigError,
    entries,
    find,
    names,
)

EMPTY: Kubeconfig = {"apiVersion": "v1", "kind": "Config", "preferences": {}}


@dataclass(frozen=True, slots=True)
class Names:
    """What one cluster is called in the document of all: `user` is by default the cluster's."""

    context: str
    cluster: str
    user: str = ""


def merge(
    existing: Kubeconfig | None,
    incoming: Kubeconfig,
    called: Names,
    server: str | None = None,
    force: bool = False,
) -> Kubeconfig:
    """Return the existing document with the incoming one's cluster under the given names.

    Other entries, unknown fields and `current-context` stay as they are; an entry of the same name
    is replaced in its place, and what only the replaced context used goes with it. `server`
    replaces the API's address.

    Raises:
        KubeconfigError: the incoming document has no clear context or a dangling one, or the
            name belongs to a cluster with another server and `force` is not given.
    """
    context, cluster, user = _parts(incoming)
    renamed = {
        "clusters": _cluster(cluster, called.cluster, server),
        "users": _named(user, called.user or called.cluster),
        "contexts": _context(context, called),
    }
    merged = deepcopy(existing) if existing else deepcopy(EMPTY)
    if not force:
        _refuse_another(merged, renamed["clusters"])
    before = find(merged, "contexts", called.context)
    for kind, entry in renamed.items():
        _put(merged, kind, entry)
    if before is not None:
        _drop_orphans(merged, before)
    if not merged.get("current-context"):
        merged["current-context"] = called.context
    return merged


def remove(existing: Kubeconfig, context: str) -> Kubeconfig:
    """Return the document without a context and what only it used; unchanged where it is absent."""
    found = find(existing, "contexts", context)
    if found is None:
        return existing
    left = deepcopy(existing)
    left["contexts"] = [entry for entry in entries(left, "contexts") if entry["name"] != context]
    _drop_orphans(left, found)
    if left.get("current-context") == context:
        left["current-context"] = ""
    return left


def select(existing: Kubeconfig, context: str) -> Kubeconfig:
    """Return the document with one context alone, made the current one.

    Raises:
        KubeconfigError: there is no such context, or it dangles.
    """
    if find(existing, "contexts", context) is None:
        known = ", ".join(names(entries(existing, "contexts"))) or "none"
        raise KubeconfigError(f"there is no context {context}: there is {known}")
    parts = _parts(existing | {"current-context": context})
    chosen = dict(zip(("contexts", "clusters", "users"), ([part] for part in parts), strict=True))
    return deepcopy(existing | chosen | {"current-context": context})


def _parts(document: Kubeconfig) -> tuple[Entry, Entry, Entry]:
    contexts = entries(document, "contexts")
    current = document.get("current-context")
    found = find(document, "contexts", str(current)) if current else None
    if found is None and len(contexts) == 1:
        found = contexts[0]
    if found is None:
        count = len(contexts)
        raise KubeconfigError(f"the kubeconfig has {count} contexts and none of them is current")
    content = found["context"] or {}
    parts = [found]
    for kind in ("clusters", "users"):
        name = content.get(KINDS[kind])
        entry = find(document, kind, str(name))
        if entry is None or entry[KINDS[kind]] is None:
            raise KubeconfigError(
                f"the context {found['name']} names the {KINDS[kind]} {name}, which is not there"
            )
        parts.append(entry)
    return parts[0], parts[1], parts[2]


def _named(entry: Entry, name: str) -> Entry:
    return deepcopy(entry) | {"name": name}


def _cluster(entry: Entry, name: str, server: str | None) -> Entry:
    cluster = _named(entry, name)
    if server is not None:
        cluster["cluster"]["server"] = server
    address = urlsplit(str(cluster["cluster"].get("server", "")))
    if address.scheme not in {"https", "http"} or not address.hostname:
        raise KubeconfigError(f"the server of the cluster {name} is not an address as https://host")
    return cluster


def _context(entry: Entry, called: Names) -> Entry:
    context = _named(entry, called.context)
    context["context"] |= {"cluster": called.cluster, "user": called.user or called.cluster}
    return context


def _refuse_another(document: Kubeconfig, incoming: Entry) -> None:
    """Refuse a cluster's name that another server has: two clusters would become one."""
    name = incoming["name"]
    found = find(document, "clusters", name)
    server = ((found or {}).get("cluster") or {}).get("server")
    if server and server != incoming["cluster"]["server"]:
        raise KubeconfigError(
            f"the cluster {name} is there already, with the server {server} and not"
            f" {incoming['cluster']['server']}: remove it first, or merge with force"
        )


def _put(document: Kubeconfig, kind: str, entry: Entry) -> None:
    found: list[Any] = entries(document, kind)
    if find(document, kind, entry["name"]) is None:
        document[kind] = [*found, entry]
    else:
        document[kind] = [entry if old["name"] == entry["name"] else old for old in found]


def _drop_orphans(document: Kubeconfig, context: Entry) -> None:
    """Drop the cluster and the user of a context that is gone, where no other one uses them."""
    content = context["context"] or {}
    for kind in ("clusters", "users"):
        name = content.get(KINDS[kind])
        used = [
            (other["context"] or {}).get(KINDS[kind]) for other in entries(document, "contexts")
        ]
        if name is not None and name not in used:
            document[kind] = [entry for entry in entries(document, kind) if entry["name"] != name]
