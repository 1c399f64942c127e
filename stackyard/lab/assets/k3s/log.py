"""Log lines in the form of K3s, on stderr; systemd's journal takes them from there."""

import sys
from datetime import UTC, datetime


class FatalError(Exception):
    """What ends the program with exit code 1; the text is K3s's own where it has one."""


def info(text: str) -> None:
    """Log what happens."""
    _write("info", text)


def warning(text: str) -> None:
    """Log what is odd and does not stop the program."""
    _write("warning", text)


def fatal(text: str) -> None:
    """Log why the program ends."""
    _write("fatal", text)


def _write(level: str, text: str) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    sys.stderr.write(f'time="{now}" level={level} msg="{escaped}"\n')
    sys.stderr.flush()
