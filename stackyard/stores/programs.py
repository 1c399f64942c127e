"""Calling a program with what it needs on standard input: no secret in argv, none on a disk."""

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stackyard.stores.protocol import StoreError

TIMEOUT_SECONDS = 60.0


def find_program(name: str, environ: Mapping[str, str], get: str) -> str:
    """Return where a program is: on PATH, or where this Python's packages put theirs.

    Raises:
        StoreError: it is in neither; the sentence says how to `get` it.
    """
    found = shutil.which(name, path=environ.get("PATH", os.defpath))
    found = found or shutil.which(name, path=sysconfig.get_path("scripts"))
    if found is None:
        raise StoreError(f"the program {name} is not installed: {get}")
    return found


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program runs: its working folder, and a file descriptor that it shares with us."""

    folder: Path | None = None
    passing: int | None = None


HERE = Place()


def call(
    command: Sequence[str],
    environ: Mapping[str, str],
    given: bytes = b"",
    place: Place = HERE,
    timeout: float = TIMEOUT_SECONDS,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, `timeout` seconds at most.

    Raises:
        StoreError: it could not be started, or did not end.
    """
    program = Path(command[0]).name
    try:
        return subprocess.run(
            command,
            input=given,
            capture_output=True,
            env=dict(environ),
            pass_fds=() if place.passing is None else (place.passing,),
            cwd=place.folder,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StoreError(f"{program} did not end within {timeout:g} s") from None
    except OSError as error:
        raise StoreError(f"{program} could not be started: {error.strerror}") from None
