"""Lists as the Table that `kubectl get` asks for (meta.k8s.io/v1)."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

Document = dict[str, Any]
Cells = Callable[[Document], list[str]]

NONE = "<none>"
UNITS = ((86400 * 2, 86400, "d"), (3600 * 3, 3600, "h"), (60 * 3, 60, "m"), (0, 1, "s"))


def table(kind: str, objects: Sequence[Document], version: str) -> Document:
    """Return objects of a kind as rows; a kind without columns of its own has name and age."""
    columns, cells = KINDS.get(kind, (PLAIN, _plain_cells))
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": version},
        "columnDefinitions": [
            {"name": name, "type": "string", "format": "", "description": "", "priority": priority}
            for name, priority in columns
        ],
        "rows": [{"cells": cells(item), "object": _metadata_of(item)} for item in objects],
    }


def age(created: str) -> str:
    """Return how long ago something was made, in kubectl's short form."""
    seconds = max(0, int(time.time() - datetime.fromisoformat(created).timestamp()))
    for least, unit, letter in UNITS:
        if seconds >= least:
            return f"{seconds // unit}{letter}"
    return f"{seconds}s"


def _metadata_of(item: Document) -> Document:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": item["metadata"],
    }


def _plain_cells(item: Document) -> list[str]:
    return [item["metadata"]["name"], age(item["metadata"]["creationTimestamp"])]


def _namespace_cells(item: Document) -> list[str]:
    name, old = _plain_cells(item)
    return [name, item["status"]["phase"], old]


def _node_cells(item: Document) -> list[str]:
    status, info = item["status"], item["status"]["nodeInfo"]
    prefix = "node-role.kubernetes.io/"
    labels = item["metadata"]["labels"]
    roles = sorted(label.removeprefix(prefix) for label in labels if label.startswith(prefix))
    ready = [one["status"] for one in status["conditions"] if one["type"] == "Ready"]
    internal = [one["address"] for one in status["addresses"] if one["type"] == "InternalIP"]
    name, old = _plain_cells(item)
    return [
        name,
        "Ready" if ready == ["True"] else "NotReady",
        ",".join(roles) or NONE,
        old,
        info["kubeletVersion"],
        (internal or [NONE])[0],
        NONE,
        info["osImage"],
        info["kernelVersion"],
        info["containerRuntimeVersion"],
    ]


PLAIN = (("Name", 0), ("Age", 0))
KINDS: dict[str, tuple[tuple[tuple[str, int], ...], Cells]] = {
    "Namespace": ((("Name", 0), ("Status", 0), ("Age", 0)), _namespace_cells),
    "Node": (
        (
            ("Name", 0),
            ("Status", 0),
            ("Roles", 0),
            ("Age", 0),
            ("Version", 0),
            ("Internal-IP", 1),
            ("External-IP", 1),
            ("OS-Image", 1),
            ("Kernel-Version", 1),
            ("Container-Runtime", 1),
        ),
        _node_cells,
    ),
}
