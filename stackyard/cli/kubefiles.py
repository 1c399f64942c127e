"""Kubeconfigs that are given as files."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stackyard.kubeconfig import Kubeconfig

STDIN = Path("-")


def read_file(file: Path) -> "Kubeconfig":
    """Return a file's kubeconfig, the certificates it names as files made part of it.

    Raises:
        KubeconfigError: one of the files cannot be read, or is no kubeconfig.
    """
    from stackyard.kubeconfig import KubeconfigError, parse
    from stackyard.kubeconfig.inline import inline

    def read(name: str) -> bytes:
        # A relative path starts where the kubeconfig is, as kubectl has it.
        try:
            return (file.parent / name).read_bytes()
        except OSError as error:
            raise KubeconfigError(f"{file} names {name}: {error.strerror}") from None

    try:
        text = sys.stdin.read() if file == STDIN else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise KubeconfigError(f"{file} cannot be read as text") from None
    return inline(parse(text, str(file)), read)
