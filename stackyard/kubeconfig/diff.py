"""What changes between two kubeconfigs, as text with every credential masked."""

import difflib
from collections.abc import Mapping
from typing import Any

from stackyard.kubeconfig.document import KINDS, USED, Entry, Kubeconfig, by_name, dump, used
from stackyard.kubeconfig.server import shown

# What may be read by anybody; whatever else an entry holds is taken for a credential.
OPEN = frozenset({
    "apiVersion", "certificate-authority", "client-certificate", "client-key", "cluster",
    "clusters", "command", "context", "contexts", "current-context", "disable-compression", "exec",
    "insecure-skip-tls-verify", "interactiveMode", "kind", "name", "namespace",
    "provideClusterInfo", "proxy-url", "server", "tls-server-name", "tokenFile", "user", "username",
    "users",
})  # fmt: skip
ADDRESSES = frozenset({"proxy-url", "server"})


def difference(before: Kubeconfig | None, after: Kubeconfig | None) -> str:
    """Return a unified diff, nothing where the two are equal.

    Each masked value has a number: the same value has the same one on both sides.
    """
    mask = _Mask()
    old, new = (
        [] if document is None else dump(mask.value(document, "kind")).splitlines()
        for document in (before, after)
    )
    lines = difflib.unified_diff(old, new, "before", "after", lineterm="")
    return "".join(f"{line}\n" for line in lines)


def changed_contexts(before: Kubeconfig | None, after: Kubeconfig | None) -> dict[str, str]:
    """Return the contexts that differ, with their clusters and users: name to what happened."""
    old, new = _by_context(before or {}), _by_context(after or {})
    changes = {name: "removed" for name in old if name not in new}
    for name, parts in new.items():
        if name not in old:
            changes[name] = "added"
        elif parts != old[name]:
            changes[name] = "changed"
    return changes


def _by_context(document: Kubeconfig) -> dict[str, list[Entry | None]]:
    tables = {kind: by_name(document, kind) for kind in KINDS}
    return {
        name: [context, *(tables[kind].get(str(used(context, kind))) for kind in USED)]
        for name, context in tables["contexts"].items()
    }


class _Mask:
    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def value(self, value: Any, key: object) -> Any:
        """Return a value as it may be shown below a key."""
        if isinstance(value, Mapping):
            return {
                name: self.value(below, self._inner(name, key)) for name, below in value.items()
            }
        if isinstance(value, list):
            return [self.value(one, key) for one in value]
        if key in ADDRESSES:
            return shown(value)
        if value in {None, ""} or key in OPEN:
            return value
        return f"(masked {self.numbers.setdefault(str(value), len(self.numbers) + 1)})"

    @staticmethod
    def _inner(name: object, key: object) -> object:
        """Return the key that decides: what stands below a closed one stays closed."""
        return name if key in OPEN else key
