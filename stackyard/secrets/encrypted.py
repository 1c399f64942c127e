"""Checks that SOPS has encrypted every value of a file, whatever the file says about itself.

Format: https://getsops.io/docs/ - a value is `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]` with an iv
of 32 bytes and a tag of 16. Empty texts and nulls have nothing to encrypt and stay. A file's kind
follows from its name as SOPS decides it; everything else is binary, which SOPS keeps as JSON.
"""

import json
import re
from collections.abc import Callable, Iterator

import yaml

Finding = tuple[int, str]
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
BASE64 = r"[A-Za-z0-9+/]"
ENCRYPTED = re.compile(
    rf"ENC\[AES256_GCM,data:(?=[^,])(?:{BASE64}{{4}})*(?:{BASE64}{{2}}==|{BASE64}{{3}}=)?,"
    rf"iv:{BASE64}{{43}}=,tag:{BASE64}{{22}}==,type:(?:str|int|float|bool|bytes|time|comment)\]"
)
COMMENT = re.compile(r"(?:^|\s)#\s*(.*?)\s*$")
NULL = "tag:yaml.org,2002:null"
TEXT = "tag:yaml.org,2002:str"
METADATA = "sops"
# What SOPS itself writes below `sops`: for the file, and for each of its keys.
OF_FILE = {
    "lastmodified", "mac", "version", "shamir_threshold", "key_groups", "unencrypted_suffix",
    "encrypted_suffix", "unencrypted_regex", "encrypted_regex", "unencrypted_comment_regex",
    "encrypted_comment_regex", "mac_only_encrypted",
}  # fmt: skip
MASTER_KEYS = {"age", "pgp", "kms", "gcp_kms", "hckms", "azure_kv", "hc_vault"}
OF_KEY = {
    "recipient", "enc", "fp", "created_at", "arn", "role", "context", "aws_profile", "resource_id",
    "key_id", "vault_url", "vault_address", "name", "version", "engine_path", "key_name",
}  # fmt: skip
KNOWN = OF_FILE | MASTER_KEYS | OF_KEY
FLAT = re.compile(r"(?P<first>[a-z_]+?)(?:__(?:list_\d+|map_[A-Za-z_]+))*")


def check_encrypted(text: str, name: str) -> Iterator[Finding]:
    """Yield the line and the reason of everything in a file that SOPS has not encrypted.

    Nothing is yielded for an empty file.
    """
    if text.strip():
        kinds = (check for suffix, check in CHECKS.items() if name.endswith(suffix))
        yield from next(kinds, _check_binary)(text)


def _check_yaml(text: str) -> Iterator[Finding]:
    for number, line in enumerate(text.splitlines(), 1):
        comment = COMMENT.search(line)
        if comment and comment[1] and not ENCRYPTED.fullmatch(comment[1]):
            yield number, "has a comment in clear"
    yield from _check_documents(text, "YAML")


def _check_json(text: str) -> Iterator[Finding]:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        yield 1, "is not valid JSON, as SOPS writes it"
    else:
        # JSON is YAML, too, and YAML's nodes know their lines and show a key that comes twice.
        yield from _check_documents(text, "JSON")


def _check_binary(text: str) -> Iterator[Finding]:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        yield 1, "is not encrypted by SOPS"
    else:
        yield from _check_documents(text, "JSON")


def _check_documents(text: str, kind: str) -> Iterator[Finding]:
    try:
        documents = list(yaml.compose_all(text, Loader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        yield (mark.line + 1 if mark else 1), f"is not valid {kind}, as SOPS writes it"
        return
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
        yield from _check_metadata(node)


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
    if node.tag == NULL or node.value == "":
        return True
    return node.tag == TEXT and ENCRYPTED.fullmatch(node.value) is not None


def _check_metadata(node: yaml.Node) -> Iterator[Finding]:
    line = node.start_mark.line + 1
    keys = {key.value: value for key, value in node.value} if _is_mapping(node) else {}
    mac = keys.get("mac")
    groups = [keys[name] for name in {*MASTER_KEYS, "key_groups"} & keys.keys()]
    if not (
        isinstance(mac, yaml.ScalarNode)
        and ENCRYPTED.fullmatch(mac.value)
        and any(isinstance(group, yaml.SequenceNode) and group.value for group in groups)
    ):
        yield line, "is not encrypted by SOPS: its `sops` has no MAC or no key"
    yield from _check_known(node)


def _check_known(node: yaml.Node) -> Iterator[Finding]:
    """Nothing may hide among the metadata, which SOPS leaves in clear."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _check_known(item)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value not in KNOWN:
                yield key.start_mark.line + 1, f"`sops` has a key {key.value} that is not SOPS's"
            elif key.value != "context":
                yield from _check_known(value)


def _is_mapping(node: yaml.Node) -> bool:
    return isinstance(node, yaml.MappingNode)


def _check_env(text: str) -> Iterator[Finding]:
    found = set()
    for number, line in enumerate(text.splitlines(), 1):
        key, equals, value = line.partition("=")
        if not line.strip() or line.strip() == "#":
            continue
        if line.startswith("#"):
            if not ENCRYPTED.fullmatch(line[1:]):
                yield number, "has a comment in clear"
        elif not equals:
            yield number, "is not KEY=value"
        elif key.startswith(f"{METADATA}_"):
            found.add(key)
            if not _known_flat(key, value):
                yield number, f"{key} is not SOPS's"
        elif value and not ENCRYPTED.fullmatch(value):
            yield number, f"{key} is not encrypted"
    if f"{METADATA}_mac" not in found or not any("__list_" in key for key in found):
        yield 1, "is not encrypted by SOPS: it has no sops_mac or no key"


def _known_flat(key: str, value: str) -> bool:
    match = FLAT.fullmatch(key.removeprefix(f"{METADATA}_"))
    if match is None or match["first"] not in OF_FILE | MASTER_KEYS:
        return False
    return match["first"] != "mac" or ENCRYPTED.fullmatch(value) is not None


CHECKS: dict[str, Callable[[str], Iterator[Finding]]] = {
    ".yaml": _check_yaml,
    ".yml": _check_yaml,
    ".json": _check_json,
    ".env": _check_env,
}
