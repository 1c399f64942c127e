"""Processes brought into a lab's network: shells, and the connections that ssh keeps open.

They are none of the daemon's, so that its end is not theirs. A bridge without cables carries the
lab's name; who sees it among the cards of `/proc/PID/net/dev` is inside.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from stackyard.lab import processes
from stackyard.lab.addresses import lab_id
from stackyard.lab.errors import LabError
from stackyard.lab.processes import Process

PROC = Path("/proc")
HUP_SECONDS = 2.0
KILL_SECONDS = 5.0


def nameplate(folder: Path) -> str:
    """Return the name of the card that marks a lab's network; it has 15 letters at most."""
    return f"lab-{lab_id(folder).rpartition('-')[2]}"


def end_visitors(folder: Path) -> None:
    """End every process inside a lab's network, but for the caller and what it was called by.

    Raises a LabError where one does not end.
    """
    own = set(processes.ancestry(os.getpid()))
    found = [one for one in _inside(nameplate(folder)) if one.pid not in own]
    for visitor in found:
        # As a terminal that closes: an interactive shell heeds no SIGTERM.
        if not (
            visitor.end(signal.SIGHUP, HUP_SECONDS) or visitor.end(signal.SIGKILL, KILL_SECONDS)
        ):
            raise LabError(f"process {visitor.pid} in the lab's network does not end; kill it")


def _inside(card: str) -> Iterator[Process]:
    for process in PROC.glob("[0-9]*"):
        try:
            cards = (process / "net/dev").read_text(encoding="utf-8").splitlines()
            if any(line.partition(":")[0].strip() == card for line in cards):
                yield processes.identify(int(process.name))
        except OSError:  # one that ends has no network any more
            continue
