"""Processes told apart by id and start time, so that a recycled id is never taken for ours."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stackyard.lab.folder import write_private

BOOT = Path("/proc/sys/kernel/random/boot_id")
PAUSE = 0.02  # seconds between two looks at a process


@dataclass(frozen=True, slots=True)
class Process:
    """A process that was seen running."""

    pid: int
    started: str
    """When it started, in the words of the system: compared, never computed with."""

    @property
    def alive(self) -> bool:
        """Whether this very process still runs; one that only awaits its parent does not."""
        return _started(self.pid) == self.started

    def end(self, number: signal.Signals, seconds: float) -> bool:
        """Send a signal and wait for the end; False when it still runs after so many seconds."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
        deadline = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() > deadline:
                return False
            time.sleep(PAUSE)
        return True

    def save(self, file: Path) -> None:
        """Write the process down."""
        write_private(file, f"{self.pid} {self.started}\n")


def identify(pid: int) -> Process:
    """Return the process with an id; ProcessLookupError when there is none."""
    started = _started(pid)
    if started is None:
        raise ProcessLookupError(pid)
    return Process(pid, started)


def load(file: Path) -> Process | None:
    """Return the process that was written down, None where no file says one."""
    try:
        pid, started = file.read_text(encoding="utf-8").strip().split(" ", 1)
        return Process(int(pid), started)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def ancestry(pid: int) -> Iterator[int]:
    """Yield a process's own id, its parent's, and so on to the first one's."""
    while pid:
        yield pid
        fields = _stat(pid)
        pid = int(fields[1]) if fields else 0


def _started(pid: int) -> str | None:
    if not Path("/proc/self/stat").exists():
        return _started_elsewhere(pid)
    fields = _stat(pid)
    if fields is None or fields[0] in "ZX":
        return None
    # In clock ticks since the boot, of which there was perhaps another in between.
    return f"{fields[19]} {BOOT.read_text(encoding='utf-8').strip()}"


def _stat(pid: int) -> list[str] | None:
    """Return a process' fields from the state on, None when it is gone.

    See proc(5): the name in brackets may hold anything; state is field 3, ppid 4, starttime 22.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return stat.rpartition(")")[2].split()


def _started_elsewhere(pid: int) -> str | None:
    """Ask ps where there is no /proc, as on macOS."""
    ps = subprocess.run(
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return ps.stdout.strip() or None
