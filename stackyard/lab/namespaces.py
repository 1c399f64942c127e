"""The few Linux calls that the standard library of Python 3.11 lacks.

Constants are those of <sched.h>, <sys/mount.h> and <sys/prctl.h>; the calls raise OSError.
"""

import ctypes
import os
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MNT_DETACH = 2


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Give the calling thread new namespaces (unshare(2))."""
    _call("unshare", ctypes.c_int(flags))


def setns(descriptor: int, kind: int) -> None:
    """Move the calling thread into the namespace that a descriptor stands for (setns(2))."""
    _call("setns", ctypes.c_int(descriptor), ctypes.c_int(kind))


def enter_network_of(pid: int) -> None:
    """Move the calling thread into the network namespace of a process."""
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(descriptor, CLONE_NEWNET)
    finally:
        os.close(descriptor)


def mount(kind: str, target: Path, options: str = "", flags: int = 0) -> None:
    """Mount a file system of a kind (mount(2)); an empty kind changes flags only."""
    _call(
        "mount",
        os.fsencode(kind or "none"),
        os.fsencode(target),
        os.fsencode(kind) if kind else None,
        ctypes.c_ulong(flags),
        os.fsencode(options) if options else None,
    )


def bind(source: Path, target: Path) -> None:
    """Show a folder at another path as well (mount(2), MS_BIND)."""
    _call(
        "mount",
        os.fsencode(source),
        os.fsencode(target),
        None,
        ctypes.c_ulong(MS_BIND),
        None,
    )


def unmount(target: Path) -> None:
    """Detach what is mounted on a path, with all below it (umount2(2))."""
    _call("umount2", os.fsencode(target), ctypes.c_int(MNT_DETACH))
