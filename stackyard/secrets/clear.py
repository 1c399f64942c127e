"""Finds private keys and kubeconfigs in clear, in any content and behind base64, however often."""

import re
from collections.abc import Iterator

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key

from stackyard.secrets.runs import decoded_runs

# A block of PEM, PGP or SSH2, an age identity (https://age-encryption.org/v1) or a key of PuTTY.
PRIVATE_KEY = re.compile(
    r"-{4,5} ?BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)? ?-{4,5}"
    r"|AGE-SECRET-KEY-(?:PQ-)?1[A-Z0-9]{20}"
    r"|PuTTY-User-Key-File-\d"
)
# One of these is in all of them; to look for a text is a hundred times as fast.
MARKS = ("PRIVATE KEY", "AGE-SECRET-KEY", "PuTTY-User-Key")
# As YAML, JSON or a shell quotes it, also within another text of JSON.
QUOTE = r"""\\*["']?"""
# What can stand before a scalar of YAML: anchors, tags, and a block's mark.
LEAD = r"\s*(?:[&!]\S*\s+)*+(?:[|>][-+\d]*\s+)?+"
# What may be a value without quotes although its key has some: in a program it is a variable.
ALONE = r"(?=[^\s\"',}()]{4,}[^\S\n]*(?:#.*)?(?:\n|\Z))"
# What stands where a credential is left out or comes from elsewhere.
NONE = r"ENC\[|\{|[$<]|\*\*|null\b|REDACTED|DATA\+OMITTED|\.\.\.|xxx"
# The credentials of a user: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
CREDENTIAL = re.compile(
    r"\b(?:client-key-data|token|password|id-token|access-token|refresh-token|client-secret)"
    rf"(?P<quoted>\\*[\"'])?\s*:{LEAD}(?(quoted)(?:\\*[\"']|{ALONE})|{QUOTE})"
    rf"(?:\*\w|(?!{NONE})[^\s\"',}}\\]{{4}})"
)
KIND = re.compile(rf"\bkind{QUOTE}\s*:\s*{QUOTE}Config\b")
USERS = re.compile(rf"\busers{QUOTE}\s*:")
# In a kubeconfig without a kind, which kubectl takes too, a `user` is still a mapping.
USER = re.compile(rf"\buser{QUOTE}[^\S\n]*:[^\S\n]*(?:[&!]\S*+[^\S\n]*+)*+(?:\{{|(?:#.*)?\n)")
# The look behind keeps a long run of backslashes from being tried from each of them.
ESCAPED = re.compile(r"(?<!\\)\\+[nr]")
DEEPEST = 5  # base64 in base64 in …


def find_clear(content: bytes) -> Iterator[tuple[int, str]]:
    """Yield the line and the description of each private key or kubeconfig in clear."""
    text = _text(content)
    line, counted, before = 1, 0, None
    for position, what, depth in sorted(_find(content, 0)):
        line, counted = line + text.count("\n", counted, position), position
        finding = line, f"has {what} in clear{', as base64' if depth else ''}"
        if finding != before:
            yield finding
        before = finding


def _find(content: bytes, depth: int) -> Iterator[tuple[int, str, int]]:
    """Yield position, description and depth of what is in a content and behind its base64."""
    text = _text(content)
    if _is_der_key(content):
        yield 0, "a private key", depth
    if any(mark in text for mark in MARKS):
        for match in PRIVATE_KEY.finditer(text):
            yield match.start(), "a private key", depth
    # Escaped line ends of a text within JSON become real ones; positions stay.
    flat = ESCAPED.sub(lambda match: "\n".rjust(len(match[0])), text)
    if "users" in flat and USERS.search(flat) and (KIND.search(flat) or USER.search(flat)):
        for match in CREDENTIAL.finditer(flat):
            yield match.start(), "a kubeconfig's credentials", depth
    if depth < DEEPEST:
        for position, inner in decoded_runs(flat):
            yield from ((position, what, deep) for _, what, deep in _find(inner, depth + 1))


def _text(content: bytes) -> str:
    # Without its zeros UTF-16 reads as UTF-8 does. All that is looked for is ASCII.
    return content.replace(b"\0", b"").decode("latin-1")


def _is_der_key(content: bytes) -> bool:
    """Tell whether it is a key without armour: a SEQUENCE of ASN.1 that is read as one."""
    if content[:1] != b"\x30":
        return False
    try:
        load_der_private_key(content, None)
    except (ValueError, UnsupportedAlgorithm):
        return False
    except TypeError:  # it has a password
        return True
    return True
