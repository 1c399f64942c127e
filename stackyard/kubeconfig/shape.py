"""What kubectl cannot read: one such value costs it the whole document, with every other cluster.

Types: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/. Unknown fields may be
anything, and null stands for nothing everywhere.
"""

import base64
from collections.abc import Iterator
from typing import Any

from stackyard.kubeconfig.document import KINDS, Entry, KubeconfigError, content

DATA = "base64"
EVERY = "*"
WORDS = {str: "a text: put it in quotes", bool: "true or false, without quotes"}
EXTENSIONS = [{"name": str}]
SHAPES: dict[str, dict[str, Any]] = {
    "clusters": {
        "server": str, "tls-server-name": str, "insecure-skip-tls-verify": bool,
        "certificate-authority": str, "certificate-authority-data": DATA, "proxy-url": str,
        "disable-compression": bool, "extensions": EXTENSIONS,
    },
    "users": {
        "client-certificate": str, "client-certificate-data": DATA, "client-key": str,
        "client-key-data": DATA, "token": str, "tokenFile": str, "as": str, "as-uid": str,
        "as-groups": [str], "as-user-extra": {EVERY: [str]}, "username": str, "password": str,
        "auth-provider": {"name": str, "config": {EVERY: str}},
        "exec": {
            "command": str, "args": [str], "env": [{"name": str, "value": str}],
            "apiVersion": str, "installHint": str, "provideClusterInfo": bool,
            "interactiveMode": str,
        },
        "extensions": EXTENSIONS,
    },
    "contexts": {"namespace": str, "extensions": EXTENSIONS},
}  # fmt: skip


def decode(data: str) -> bytes:
    """Decode base64 as kubectl does: line ends may be anywhere in it, and nothing else.

    Raises:
        ValueError: it is none.
    """
    return base64.b64decode(data.replace("\n", "").replace("\r", ""), validate=True)


def check_shape(kind: str, entry: Entry) -> None:
    """Refuse an entry that kubectl cannot read.

    Raises:
        KubeconfigError: with the name of the field.
    """
    found = _misfit(content(kind, entry), SHAPES[kind], "")
    if found:
        raise KubeconfigError(
            f"the {KINDS[kind]} {entry['name']} is none that kubectl can read, nor anything beside"
            f" it: {found}"
        )


def _misfit(value: Any, shape: Any, where: str) -> str:
    """Say what a value is not; nothing where it has the shape."""
    if value is None or shape is None:
        return ""
    if isinstance(shape, dict | list):
        if not isinstance(value, type(shape)):
            return f"{where} is not a {'list' if isinstance(shape, list) else 'mapping'}"
        return next(filter(None, _misfits(value, shape, where)), "")
    if shape == DATA:
        return "" if isinstance(value, str) and _is_base64(value) else f"{where} is not base64"
    return "" if isinstance(value, shape) else f"{where} is not {WORDS[shape]}"


def _misfits(value: Any, shape: Any, where: str) -> Iterator[str]:
    for key, one in enumerate(value) if isinstance(value, list) else value.items():
        inner = shape[0] if isinstance(shape, list) else shape.get(key, shape.get(EVERY))
        yield _misfit(one, inner, f"{where}.{key}" if where else str(key))


def _is_base64(value: str) -> bool:
    try:
        decode(value)
    except ValueError:
        return False
    return True
