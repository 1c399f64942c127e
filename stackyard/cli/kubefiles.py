"""Kubeconfigs that are given as files."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stackyard.kubeconfig import Kubeconfig

STDIN = Path("-")


def is_named(file: Path) -> bool:
    """Tell whether somebody chose the file's name: that of `-` or of a pipe says nothing."""
    return file != STDIN and file.is_file()


def read_file(file: Path) -> "Kubeconfig":
    """Return a file's kubeconfig, the certificates it names as files made part of it.

    Other files that it names relative to itself are named as they are found from everywhere; a pipe
    is nowhere, and what it names stays as it is.

    Raises:
        KubeconfigError: it is not there or no kubeconfig, or a file that it names cannot be read.
        StoreError: it cannot be read.
    """
    from stackyard.kubeconfig import KubeconfigError, parse
    from stackyard.kubeconfig.inline import inline, located
    from stackyard.stores.file import decoded, read_bytes

    def read(path: str) -> bytes:
        # A relative path starts where the kubeconfig is, as kubectl has it.
        try:
            return (file.parent / path).read_bytes()
        except OSError as error:
            raise KubeconfigError(f"{file} names {path}: {error.strerror}") from None

    def locate(path: str) -> str:
        return path if Path(path).is_absolute() else str((file.parent / path).absolute())

    name = "standard input" if file == STDIN else str(file)
    found = _given() if file == STDIN else read_bytes(file)
    if found is None:
        raise KubeconfigError(f"{name}: there is no such file")
    document = inline(parse(decoded(name, found), name), read)
    return located(document, locate) if is_named(file) else document


def _given() -> bytes:
    return sys.stdin.buffer.read() if sys.stdin is not None else b""
