"""Runs a command whose stderr is a terminal."""

import os
import pty
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence


def on_terminal(
    command: Sequence[str],
    environ: Mapping[str, str],
    meanwhile: Callable[["subprocess.Popen[bytes]"], None] = lambda _process: None,
) -> tuple[int, str]:
    """Return the exit code and what the terminal was sent."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    sent = bytearray()
    beside = threading.Thread(target=meanwhile, args=(process,))
    beside.start()
    try:
        while part := _read(ours):
            sent += part
    finally:
        os.close(ours)
        beside.join()
    return process.wait(60), sent.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # EIO: the other side is closed
        return b""
