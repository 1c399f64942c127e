"""A line of JSON for each step of each run, for people who ask later what happened.

No state: nothing reads it. What is still to be configured is told by the VM's own tag.
"""

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from stackyard.run.folder import open_private, private_folder


class Journal:
    """SITE/.stackyard/journal.jsonl, opened for each line so that runs can share it."""

    def __init__(self, site: Path, commit: str) -> None:
        self._path = private_folder(site) / "journal.jsonl"
        self._commit = commit

    def write(self, step: str, hosts: Iterable[str], result: str) -> None:
        """Append one line: what was done to which hosts, and how it ended."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "commit": self._commit,
            "step": step,
            "hosts": sorted(hosts),
            "result": result,
        }
        descriptor = open_private(self._path)
        try:
            os.write(descriptor, (json.dumps(line, ensure_ascii=False) + "\n").encode())
        finally:
            os.close(descriptor)
