"""The log of requests: one JSON line each, of parameters only the names."""

import json
import time
from pathlib import Path

from stackyard.lab.api.answer import Asked


class RequestLog:
    """Appends to a file, or to nothing where there is none."""

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1) if path else None

    def write(self, method: str, path: str, status: int, asked: Asked) -> None:
        """Note a request and its answer's status, 0 where the connection was closed on it."""
        if self._file:
            line = {
                "time": round(time.time(), 3),
                "method": method,
                "path": path,
                "status": status,
                "user": asked.identity.user,
                "params": sorted(asked.params),
            }
            self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        if self._file:
            self._file.close()
