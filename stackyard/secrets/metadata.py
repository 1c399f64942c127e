"""What SOPS writes beside the values: its own cipher text's form, and its metadata in clear.

Format: https://getsops.io/docs/. Nothing else may hide among the metadata.
"""

import base64
import re
from collections.abc import Iterator

import yaml

Finding = tuple[int, str]
BASE64 = r"[A-Za-z0-9+/]"
ENCRYPTED = re.compile(
    rf"ENC\[AES256_GCM,data:(?P<data>(?=[^,])(?:{BASE64}{{4}})*(?:{BASE64}{{2}}==|{BASE64}{{3}}=)?),"
    rf"iv:{BASE64}{{43}}=,tag:{BASE64}{{22}}==,type:(?:str|int|float|bool|bytes|time|comment)\]"
)
# Cipher text is any bytes: so many in a row that can be printed are a text in disguise.
PRINTABLE = 16
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
FLAT = re.compile(r"(?P<first>[a-z_]+?)(?:__(?:list_\d+|map_(?:(?!__)[A-Za-z_])+))*")
# The forms of what has one; a MAC is cipher text.
FORMS = {
    "mac": ENCRYPTED,
    "lastmodified": re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)"),
    "version": re.compile(r"\d+\.\d+[\w.+-]*"),
}


def is_cipher_text(text: str) -> bool:
    """Tell whether a text has the form of a value that SOPS encrypted, and is not just dressed so.

    Only a key can tell what is cipher text indeed.
    """
    match = ENCRYPTED.fullmatch(text)
    if match is None:
        return False
    data = base64.b64decode(match["data"])
    words = data.decode("latin-1").split()
    return len(data) < PRINTABLE or not (data.isascii() and "".join(words).isprintable())


def check_metadata(node: yaml.Node) -> Iterator[Finding]:
    """Yield what is wrong with the mapping `sops` of YAML or JSON."""
    line = node.start_mark.line + 1
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    keys = {key.value: value for key, value in pairs if isinstance(key, yaml.ScalarNode)}
    mac = keys.get("mac")
    if not (
        isinstance(mac, yaml.ScalarNode)
        and ENCRYPTED.fullmatch(mac.value)
        and any(_has_key(keys[name]) for name in {*MASTER_KEYS, "key_groups"} & keys.keys())
    ):
        yield line, "is not encrypted by SOPS: its `sops` has no MAC or no key"
    for name, form in FORMS.items():
        value = keys.get(name)
        if isinstance(value, yaml.ScalarNode) and not form.fullmatch(value.value):
            yield value.start_mark.line + 1, f"`sops` has a {name} that is not SOPS's"
    yield from _check_known(node)


def _has_key(node: yaml.Node) -> bool:
    """Tell whether a key's data key, encrypted for somebody, is anywhere in a list of keys."""
    if isinstance(node, yaml.SequenceNode):
        return any(_has_key(item) for item in node.value)
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return any((key.value == "enc" and value.value) or _has_key(value) for key, value in pairs)


def _check_known(node: yaml.Node) -> Iterator[Finding]:
    """Nothing may hide among the metadata, which SOPS leaves in clear."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            if isinstance(item, yaml.ScalarNode):
                yield item.start_mark.line + 1, "`sops` has a text that is not SOPS's"
            yield from _check_known(item)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value not in KNOWN:
                yield key.start_mark.line + 1, "`sops` has a key that is not SOPS's"
            elif key.value != "context":
                yield from _check_known(value)


def is_flat_metadata(key: str, value: str) -> bool:
    """Tell whether a line of a .env file is metadata of SOPS."""
    match = FLAT.fullmatch(key.removeprefix(f"{METADATA}_"))
    if match is None or match["first"] not in OF_FILE | MASTER_KEYS:
        return False
    form = FORMS.get(match["first"])
    return form is None or form.fullmatch(value) is not None
