"""Runs a function in a process that is stopped at every system call with which it writes.

seccomp(2) lets ptrace(2) stop a process, and all that it starts, at some system calls only: so even
what happens below Python is seen, and each moment can be made the last one.
"""

import ctypes
import errno
import os
import platform
import signal
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

# Numbers of x86_64 and of aarch64, which has none of the older calls.
# https://github.com/torvalds/linux/blob/master/arch/x86/entry/syscalls/syscall_64.tbl
# https://github.com/torvalds/linux/blob/master/include/uapi/asm-generic/unistd.h
OPENS = {"open": (2, None), "openat": (257, 56), "openat2": (437, 437)}
WRITES = {
    "write": (1, 64), "pwrite64": (18, 68), "writev": (20, 66), "pwritev": (296, 70),
    "sendfile": (40, 71), "splice": (275, 76), "copy_file_range": (326, 285),
    "truncate": (76, 45), "ftruncate": (77, 46), "fallocate": (285, 47),
    "fsync": (74, 82), "fdatasync": (75, 83),
    "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276),
    "mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None), "creat": (85, None),
    "link": (86, None), "linkat": (265, 37), "unlink": (87, None), "unlinkat": (263, 35),
    "symlink": (88, None), "symlinkat": (266, 36), "mknod": (133, None), "mknodat": (259, 33),
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "chown": (92, None),
    "fchown": (93, 55), "fchownat": (260, 54), "utimensat": (280, 88),
    "memfd_create": (319, 279),
}  # fmt: skip
ARGUMENT_OF_FLAGS = {"open": 1, "openat": 2}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
MACHINE = {"x86_64": 0, "aarch64": 1}
NAMES = {
    number: name
    for name, numbers in {**OPENS, **WRITES}.items()
    if (number := numbers[MACHINE.get(platform.machine(), 0)]) is not None
}

TRACEME, CONT, SETOPTIONS, GET_SYSCALL_INFO = 0, 7, 0x4200, 0x420E
# What a process starts is traced too (fork, vfork, clone, exec); all of it ends with the tracer.
OPTIONS = 0x2 | 0x4 | 0x8 | 0x10 | 0x80 | 0x100000
SECCOMP_STOP = signal.SIGTRAP | 7 << 8
WALL = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]


class Info(ctypes.Structure):
    """`struct ptrace_syscall_info`, as far as it is needed."""

    _fields_ = (
        ("op", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("pointers", ctypes.c_uint64 * 2),
        ("nr", ctypes.c_uint64),
        ("args", ctypes.c_uint64 * 6),
    )


@dataclass(frozen=True)
class Moment:
    """A system call that is about to write, and to what; "" where it names nothing."""

    process: int
    call: str
    target: str


@dataclass
class Run:
    """How the process ended, and the moments at which it was stopped."""

    process: int
    code: int = 0
    moments: list[Moment] = field(default_factory=list)


def run_traced(function: Callable[[], object], kill_at: int | None = None) -> Run:
    """Run a function in a process of its own; end the one that reaches a moment by SIGKILL.

    Counted from 0 are the writes of the function's own process, and those to files of the programs
    that it starts. Without a number nothing is killed.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setpgid(0, 0)
            _checked(libc.ptrace(TRACEME, 0, 0, 0))
            _filter()
            os.kill(os.getpid(), signal.SIGSTOP)
            function()
            code = 0
        finally:
            os._exit(code)
    os.waitpid(child, 0)
    _checked(libc.ptrace(SETOPTIONS, child, 0, OPTIONS))
    run = Run(child)
    _resume(child, 0)
    with suppress(ChildProcessError):
        while True:
            stopped, status = os.waitpid(-child, WALL)
            _judge(run, stopped, status, kill_at)
    return run


def _judge(run: Run, stopped: int, status: int, kill_at: int | None) -> None:
    if not os.WIFSTOPPED(status):
        if stopped == run.process:
            run.code = os.waitstatus_to_exitcode(status)
        return
    passed_on = os.WSTOPSIG(status)
    if status >> 8 == SECCOMP_STOP:
        moment = _moment(stopped)
        if moment and (stopped == run.process or moment.target.startswith("/")):
            run.moments.append(moment)
            if len(run.moments) - 1 == kill_at:
                os.kill(stopped, signal.SIGKILL)
    _resume(stopped, 0 if passed_on in {signal.SIGTRAP, signal.SIGSTOP} else passed_on)


def _moment(process: int) -> Moment | None:
    info = Info()
    size = ctypes.sizeof(info)
    _checked(libc.ptrace(GET_SYSCALL_INFO, process, size, ctypes.addressof(info)))
    name = NAMES[info.nr]
    flags = ARGUMENT_OF_FLAGS.get(name)
    if flags is not None and not info.args[flags] & WRITING:
        return None
    if name in OPENS:
        return Moment(process, name, _text(process, info.args[0 if name == "open" else 1]))
    try:
        return Moment(process, name, str(Path(f"/proc/{process}/fd/{info.args[0]}").readlink()))
    except OSError:
        return Moment(process, name, "")


def _text(process: int, address: int) -> str:
    with Path(f"/proc/{process}/mem").open("rb", 0) as memory:
        memory.seek(address)
        return memory.read(4096).partition(b"\0")[0].decode()


def _filter() -> None:
    """Let the tracer stop this process, and what it starts, at the calls that write."""
    load, equal, answer = 0x20, 0x15, 0x06
    trace, allow = 0x7FF00000, 0x7FFF0000
    steps = [(load, 0, 0, 0)]
    for number in NAMES:
        steps += [(equal, 0, 1, number), (answer, 0, 0, trace)]
    steps.append((answer, 0, 0, allow))
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    kept = ctypes.create_string_buffer(code)
    program = ctypes.create_string_buffer(struct.pack("HP", len(steps), ctypes.addressof(kept)))
    _checked(libc.prctl(38, 1, 0, 0, 0))  # no new privileges
    _checked(libc.prctl(22, 2, ctypes.addressof(program), 0, 0))


def _resume(process: int, number: int) -> None:
    if libc.ptrace(CONT, process, 0, number) and ctypes.get_errno() != errno.ESRCH:
        raise OSError(ctypes.get_errno(), "ptrace")


def _checked(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
