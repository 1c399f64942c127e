"""A control group of version 2 for each machine, on hybrid and on pure hierarchies."""

import time
from pathlib import Path

MOUNTED = Path("/sys/fs/cgroup")
EMPTY_SECONDS = 2.0  # a killed process leaves its group a moment after its parent knows
PAUSE = 0.02


def hierarchy() -> Path | None:
    """Return where this machine has cgroups of version 2 mounted, None where it has not."""
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, target, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(target)
    return None


def remove(group: Path) -> None:
    """Remove a group and all below it; OSError when a process stays in one of them."""
    deadline = time.monotonic() + EMPTY_SECONDS
    while group.is_dir():
        try:
            _remove(group)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE)


def _remove(group: Path) -> None:
    below = [path for path in group.rglob("*") if path.is_dir()]
    for path in sorted(below, key=lambda one: len(one.parts), reverse=True):
        path.rmdir()
    group.rmdir()


def guest_init(group: Path) -> int | None:
    """Return the id of a booted guest's process 1, None while there is none.

    systemd-nspawn puts the guest into `payload`, whose systemd moves itself into `init.scope`. The
    right process is one PID namespace below ours and number 1 there (NSpid of proc(5)).
    """
    depth = len(_numbers("self")) + 1
    for place in ("payload/init.scope", "payload"):
        try:
            pids = (group / place / "cgroup.procs").read_text(encoding="utf-8").split()
        except FileNotFoundError:
            continue
        for pid in pids:
            numbers = _numbers(pid)
            if len(numbers) == depth and numbers[-1] == "1":
                return int(pid)
    return None


def _numbers(pid: str) -> list[str]:
    """Return a process' id in each PID namespace from ours down; none when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return []
    lines = (line.split() for line in status.splitlines())
    return next((words[1:] for words in lines if words[0] == "NSpid:"), [])
