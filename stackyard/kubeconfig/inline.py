"""Certificates and keys that a kubeconfig names as files become part of it."""

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
