"""The audit log: a line of JSON for each step that ended, whoever asked for it."""

import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

from stackyard.errors import StackyardError
from stackyard.nornir.processor import Event


class AuditError(StackyardError):
    """What was done cannot be written down."""


class AuditLog:
    """A listener that appends a JSON line for each step that ended; a new file is 0600."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            AuditError: that is not possible.
        """
        self._path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise AuditError(
                f"the audit log {path} cannot be opened ({error.strerror}), and nothing is done "
                "without one: name another file with --audit FILE"
            ) from error
        self._is_torn = ends_within_a_line(self._file)

    def __call__(self, event: Event) -> None:
        """Write the event, unless it is a mere beginning.

        Raises:
            AuditError: the file does not take it.
        """
        if event.state == "started":
            return
        line = json.dumps(_line(event), ensure_ascii=False) + "\n"
        rest = ("\n" + line if self._is_torn else line).encode()
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
                self._is_torn = bool(rest)
        except OSError as error:
            raise AuditError(
                f"the audit log {self._path} cannot be written ({error.strerror})"
            ) from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def ends_within_a_line(file: int) -> bool:
    """Tell whether an earlier writer was killed, or had no room, in the middle of a line."""
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        return False
    return os.pread(file, 1, found.st_size - 1) != b"\n"


def _line(event: Event) -> dict[str, object]:
    line: dict[str, object] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "vm": event.name,
        "vmid": event.vmid,
        "node": event.node,
        "action": event.step,
        "before": event.before,
        "after": event.after,
        "task": list(event.upids),
        "result": event.state,
    }
    if event.detail:
        line["error" if event.state == "failed" else "warning"] = event.detail
    return line
