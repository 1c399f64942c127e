"""A line of JSON for each step of each run, for people who ask later what happened.

No state: nothing reads it. What is still to be configured is told by the VM's own tag.
"""

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from stackyard.nornir.audit import ends_within_a_line
from stackyard.run.errors import RunError
from stackyard.run.folder import open_private, private_folder


class Journal:
    """SITE/.stackyard/journal.jsonl, opened for each line so that runs can share it.

    `failure` says why a line is missing: a run goes on without one.
    """

    def __init__(self, site: Path, commit: str) -> None:
        """Find out whether it can be written.

        Raises:
            RunError: it cannot.
        """
        self.failure = ""
        self._commit = commit
        try:
            self._path = private_folder(site) / "journal.jsonl"
            os.close(open_private(self._path))
        except OSError as error:
            raise RunError(
                f"{error.filename} cannot be written ({error.strerror}): a run needs its journal"
            ) from error

    def write(self, step: str, hosts: Iterable[str], result: str) -> None:
        """Append one line: what was done to which hosts, and how it ended."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "commit": self._commit,
            "step": step,
            "hosts": sorted(hosts),
            "result": result,
        }
        try:
            self._append(json.dumps(line, ensure_ascii=False) + "\n")
        except OSError as error:
            self.failure = f"the journal {self._path} cannot be written ({error.strerror})"

    def _append(self, text: str) -> None:
        descriptor = open_private(self._path)
        try:
            rest = ("\n" + text if ends_within_a_line(descriptor) else text).encode()
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        finally:
            os.close(descriptor)
