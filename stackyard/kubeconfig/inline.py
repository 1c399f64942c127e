"""What a kubeconfig names as files: certificates and keys become part of it, others are located."""

import base64
from collections.abc import Callable
from typing import Any

from stackyard.kubeconfig.document import KINDS, Entry, Kubeconfig, content, entries

# https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/: the data wins over the file.
FILES = {
    "clusters": {"certificate-authority": "certificate-authority-data"},
    "users": {
        "client-certificate": "client-certificate-data",
        "client-key": "client-key-data",
    },
}
Read = Callable[[str], bytes]


def inline(document: Kubeconfig, read: Read) -> Kubeconfig:
    """Return the document with what its files hold; `read` gets each path as it is written.

    A `tokenFile` stays: what it holds changes, and so may not be kept.

    Raises:
        What `read` raises where a file cannot be read.
    """
    lists = {
        kind: [_inlined(kind, entry, read) for entry in entries(document, kind)]
        for kind in FILES
        if entries(document, kind)
    }
    return {**document, **lists}


def located(document: Kubeconfig, locate: Callable[[str], str]) -> Kubeconfig:
    """Return the document for another place: `locate` makes each relative path of its users whole.

    These are token files and exec plugins; one without a slash is a program of PATH.
    """
    users = [_located(entry, locate) for entry in entries(document, "users")]
    return {**document, "users": users} if users else document


def _located(entry: Entry, locate: Callable[[str], str]) -> Entry:
    made = dict(content("users", entry))
    file, plugin = made.get("tokenFile"), made.get("exec")
    if file and isinstance(file, str):
        made["tokenFile"] = locate(file)
    command = plugin.get("command") if isinstance(plugin, dict) else None
    if isinstance(plugin, dict) and isinstance(command, str) and "/" in command:
        made["exec"] = {**plugin, "command": locate(command)}
    return {**entry, KINDS["users"]: made} if made else entry


def _inlined(kind: str, entry: Entry, read: Read) -> Entry:
    found = content(kind, entry)
    names = FILES[kind]
    if not any(found.get(name) for name in names):
        return entry
    made: dict[str, Any] = {}
    for key, value in found.items():
        data = names.get(key)
        if data is None or not isinstance(value, str):
            made.setdefault(key, value)
        elif value and not found.get(data):
            made[data] = base64.b64encode(read(value)).decode()
    return {**entry, KINDS[kind]: made}
