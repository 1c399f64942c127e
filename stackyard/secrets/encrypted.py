"""Checks that SOPS has encrypted every value of a file, whatever the file says about itself.

Format: https://getsops.io/docs/ - a value is `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]` with an iv
of 32 bytes and a tag of 16. Empty texts and nulls have nothing to encrypt and stay. A file's kind
follows from its name as SOPS decides it; everything else is binary, which SOPS keeps as JSON.
"""

import json
from collections.abc import Callable, Iterator

import yaml

from stackyard.definitions.document import TEXT
from stackyard.definitions.nesting import Loader, NestingError, check_nesting
from stackyard.secrets.comments import find_comments
from stackyard.secrets.metadata import (
    METADATA,
    Finding,
    check_metadata,
    is_cipher_text,
    is_flat_metadata,
)

NULL = "tag:yaml.org,2002:null"
NULLS = {"null", "~"}


def check_encrypted(text: str, name: str) -> Iterator[Finding]:
    """Yield the line and the reason of everything in a file that SOPS has not encrypted.

    Nothing is yielded for an empty file.
    """
    if text.strip():
        kinds = (check for suffix, check in CHECKS.items() if name.endswith(suffix))
        try:
            yield from next(kinds, _check_binary)(text)
        except RecursionError:
            yield 1, "is nested too deeply, or in itself, for a file of SOPS"


def _check_yaml(text: str) -> Iterator[Finding]:
    yield from _check_documents(text, "YAML")


def _check_json(
    text: str, otherwise: str = "is not valid JSON, as SOPS writes it"
) -> Iterator[Finding]:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        yield 1, otherwise
    else:
        # JSON is YAML, too, and YAML's nodes know their lines and show a key that comes twice.
        yield from _check_documents(text, "JSON")


def _check_binary(text: str) -> Iterator[Finding]:
    return _check_json(text, "is not encrypted by SOPS")


def _check_documents(text: str, kind: str) -> Iterator[Finding]:
    try:
        check_nesting(text)
        documents = list(yaml.compose_all(text, Loader))
        comments = list(find_comments(text))
    except NestingError as error:
        yield error.line, str(error)
        return
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        yield (mark.line + 1 if mark else 1), f"is not valid {kind}, as SOPS writes it"
        return
    for number, comment in comments:
        if not is_cipher_text(comment):
            yield number, "has a comment in clear"
    if not documents:
        yield 1, "is not encrypted by SOPS"
    for document in documents:
        yield from _check_document(document)


def _check_document(document: yaml.Node) -> Iterator[Finding]:
    line = document.start_mark.line + 1
    if not isinstance(document, yaml.MappingNode):
        yield line, "is not encrypted by SOPS"
        return
    metadata = []
    seen: set[int] = set()
    for key, value in document.value:
        if key.value == METADATA:
            metadata.append(value)
        else:
            yield from _check_pair(key, value, "", seen)
    if len(metadata) != 1:
        yield line, "is not encrypted by SOPS: it has no `sops` of its own, or several"
    for node in metadata:
        yield from check_metadata(node)


def _check_node(node: yaml.Node, path: str, seen: set[int]) -> Iterator[Finding]:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _check_pair(key, value, f"{path}.", seen)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _check_node(item, f"{path}[{number}]", seen)
    elif not _is_encrypted(node):
        yield node.start_mark.line + 1, f"{path} is not encrypted"


def _check_pair(key: yaml.Node, value: yaml.Node, path: str, seen: set[int]) -> Iterator[Finding]:
    if isinstance(key, yaml.ScalarNode):
        yield from _check_node(value, f"{path}{key.value}", seen)
    else:
        yield key.start_mark.line + 1, "has a key that SOPS does not write"


def _is_encrypted(node: yaml.Node) -> bool:
    # A tag can be written before any text: what counts is what stands there.
    if node.value == "" or (node.tag == NULL and node.value.lower() in NULLS):
        return True
    return node.tag == TEXT and is_cipher_text(node.value)


def _check_env(text: str) -> Iterator[Finding]:
    found = set()
    for number, line in enumerate(text.splitlines(), 1):
        key, equals, value = line.partition("=")
        if not line.strip() or line.strip() == "#":
            continue
        if line.startswith("#"):
            if not is_cipher_text(line[1:]):
                yield number, "has a comment in clear"
        elif not equals:
            yield number, "is not KEY=value"
        elif key.startswith(f"{METADATA}_"):
            found.add(key)
            if not is_flat_metadata(key, value):
                yield number, f"{key} is not SOPS's"
        elif value and not is_cipher_text(value):
            yield number, f"{key} is not encrypted"
    if f"{METADATA}_mac" not in found or not any("__list_" in key for key in found):
        yield 1, "is not encrypted by SOPS: it has no sops_mac or no key"


CHECKS: dict[str, Callable[[str], Iterator[Finding]]] = {
    ".yaml": _check_yaml,
    ".yml": _check_yaml,
    ".json": _check_json,
    ".env": _check_env,
}
