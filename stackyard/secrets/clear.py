"""Finds private keys and kubeconfigs in clear, in any text and also behind base64."""

import base64
import re
from collections.abc import Iterator

PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"|AGE-SECRET-KEY-(?:PQ-)?1[A-Z0-9]{20}"
    r"|PuTTY-User-Key-File-\d"
)
# "-----BEGIN" in base64, as Kubernetes keeps keys; certificates begin so, too.
ARMOUR = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/]{20,80}")
# The credentials of a kubeconfig's user, https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
CREDENTIAL = re.compile(
    r"""\b(?:client-key-data["']?\s*:\s*["']?[A-Za-z0-9+/=]{8}"""
    r"""|(?:token|password)["']?\s*:\s*(?!["']?(?:ENC\[|\{\{|null\b))["']?[^\s"',}]{4})"""
)
KIND = re.compile(r"""["']?kind["']?\s*:\s*["']?Config\b""")
USERS = re.compile(r"""["']?users["']?\s*:""")


def find_clear(content: bytes) -> Iterator[tuple[int, str]]:
    """Yield the line and the description of each private key or kubeconfig in clear."""
    text = _text(content)
    for match in PRIVATE_KEY.finditer(text):
        yield _line(text, match.start()), "has a private key in clear"
    for match in ARMOUR.finditer(text):
        if PRIVATE_KEY.search(_decoded(match[0])):
            yield _line(text, match.start()), "has a private key in clear, as base64"
    if KIND.search(text) and USERS.search(text):
        for match in CREDENTIAL.finditer(text):
            yield _line(text, match.start()), "has a kubeconfig's credentials in clear"


def _text(content: bytes) -> str:
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    return content.decode(encoding, errors="replace")


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _decoded(encoded: str) -> str:
    whole = encoded[: len(encoded) // 4 * 4]
    return base64.b64decode(whole).decode("ascii", errors="replace")
