"""A kubeconfig's text and its checked structure, everything unknown kept.

Shape: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

from collections.abc import Iterable
from typing import Any

from stackyard.errors import StackyardError
from stackyard.kubeconfig.text import TextError, read_yaml, write_yaml

Kubeconfig = dict[str, Any]
Entry = dict[str, Any]
KINDS = {"clusters": "cluster", "users": "user", "contexts": "context"}
USED = ("clusters", "users")  # what a context names


class KubeconfigError(StackyardError):
    """A kubeconfig that cannot be used; the sentence names the entry and never its content."""


def parse(text: str, what: str = "the kubeconfig") -> Kubeconfig:
    """Return a kubeconfig's document; `what` names it in a sentence.

    Raises:
        KubeconfigError: it is empty, not YAML, not a kubeconfig, or has a name twice.
    """
    try:
        document = read_yaml(text)
    except TextError as error:
        raise KubeconfigError(f"{what} {error}") from None
    if document is None:
        raise KubeconfigError(f"{what} is empty")
    if not isinstance(document, dict) or document.get("kind", "Config") != "Config":
        raise KubeconfigError(f"{what} is not a kubeconfig (a mapping of kind Config)")
    for kind in KINDS:
        _check_entries(document, kind, what)
    return document


def dump(document: Kubeconfig) -> str:
    """Return a kubeconfig as text, its keys in their order."""
    return write_yaml(document)


def entries(document: Kubeconfig, kind: str) -> list[Entry]:
    """Return the entries of `clusters`, `users` or `contexts`; none where the key is null."""
    found: list[Entry] = document.get(kind) or []
    return found


def find(document: Kubeconfig, kind: str, name: str) -> Entry | None:
    """Return the entry of a name, None where there is none."""
    return next((entry for entry in entries(document, kind) if entry["name"] == name), None)


def by_name(document: Kubeconfig, kind: str) -> dict[str, Entry]:
    """Return the entries of a kind by their names, in their order."""
    return {entry["name"]: entry for entry in entries(document, kind)}


def names(found: Iterable[Entry]) -> list[str]:
    """Return the entries' names in their order."""
    return [str(entry["name"]) for entry in found]


def content(kind: str, entry: Entry | None) -> dict[str, Any]:
    """Return what an entry holds; nothing where it is absent or null."""
    found: dict[str, Any] = (entry or {}).get(KINDS[kind]) or {}
    return found


def used(context: Entry | None, kind: str) -> Any:
    """Return the name of the cluster or the user that a context says it uses, as it says it."""
    return content("contexts", context).get(KINDS[kind])


def dangling(kind: str, name: object) -> str:
    """Say of a context that what it names is not there, or that it names nothing."""
    what = KINDS[kind]
    return f"names no {what}" if name is None else f"names the {what} {name}, which is not there"


def _check_entries(document: Kubeconfig, kind: str, what: str) -> None:
    found = document.get(kind)
    if found is None:
        return
    if not isinstance(found, list):
        raise KubeconfigError(f"{kind} of {what} is not a list")
    seen: set[str] = set()
    for entry in found:
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not isinstance(entry.get(KINDS[kind]), dict | None):
            raise KubeconfigError(f"{kind} of {what} has an entry without a name or content")
        if name in seen:
            raise KubeconfigError(f"{kind} of {what} has {name} twice: which one is meant?")
        seen.add(name)
