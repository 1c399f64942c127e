"""A lab in namespaces of its own: the kernel itself cleans up after it.

Three namespaces hold a lab together. The PID namespace ends, with every process in it, when its
first process does, however that is. The mount namespace takes all mounts with it, and the network
namespace the bridge and all cards. Only control groups outlive them; `lab down` removes those.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from stackyard.lab import cgroups, namespaces, processes

RUN = Path("/run")
NSPAWN = RUN / "systemd/nspawn"
LAYER = Path("/mnt")  # covered for a moment, in the lab's own mount namespace


@dataclass(frozen=True, slots=True)
class Outside:
    """What a lab keeps of the machine's own namespaces."""

    network: int
    """An open descriptor of the network namespace that has a way out."""


def isolate(process_file: Path, body: Callable[[Outside], None]) -> None:
    """Run a function in new namespaces, in a process whose init is written down; return at once."""
    namespaces.unshare(namespaces.CLONE_NEWPID | namespaces.CLONE_NEWNS)
    gate, opened = os.pipe()
    first = os.fork()
    if first:
        processes.identify(first).save(process_file)
        os.close(opened)
        return
    os.close(opened)
    os.read(gate, 1)  # until the file is written
    _init(body)


def _init(body: Callable[[Outside], None]) -> None:
    """Be the namespace's init: prepare it, start the function, reap until that has ended."""
    outside = Outside(os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
    namespaces.unshare(namespaces.CLONE_NEWNET)
    _mounts()
    signal.signal(signal.SIGTERM, _leave)
    worker = os.fork()
    if not worker:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        body(outside)
        os._exit(0)
    os.close(outside.network)
    while True:
        pid, status = os.wait()
        if pid == worker:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)


def _mounts() -> None:
    namespaces.mount("", Path("/"), flags=namespaces.MS_REC | namespaces.MS_PRIVATE)
    namespaces.mount("proc", Path("/proc"))
    _private_run()
    # systemd in a guest wants version 2 alone; a hybrid machine has it beside version 1.
    if not _is_version_2(cgroups.MOUNTED):
        namespaces.unmount(cgroups.MOUNTED)
        namespaces.mount("cgroup2", cgroups.MOUNTED)


def _private_run() -> None:
    """Lay a layer over /run: what `ip netns` and systemd-nspawn write there stays in the lab."""
    namespaces.mount("tmpfs", LAYER, "mode=0755")
    (LAYER / "upper").mkdir()
    (LAYER / "work").mkdir()
    options = f"lowerdir={RUN},upperdir={LAYER}/upper,workdir={LAYER}/work"
    namespaces.mount("overlay", RUN, options)
    namespaces.unmount(LAYER)
    # systemd-nspawn moves mounts below this folder, which an overlay does not bear.
    NSPAWN.mkdir(parents=True, exist_ok=True)
    namespaces.mount("tmpfs", NSPAWN, "mode=0755")


def _is_version_2(folder: Path) -> bool:
    return (folder / "cgroup.controllers").exists()
