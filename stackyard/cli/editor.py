"""An editor on a text that is in memory only, and a terminal that survives it."""

import fcntl
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import typer

from stackyard.cli.terminal import can_ask

MOUNTS = Path("/proc/self/mounts")
SHARED_MEMORY = str(Path("/dev", "shm"))
IN_MEMORY = {"tmpfs", "ramfs"}
MADE, LOCKED = "stackyard-new-", "stackyard-edit-"


@dataclass(frozen=True, slots=True)
class Copy:
    """The copy to edit; whoever has the folder's `lock` open still uses it."""

    path: Path
    lock: int


@contextmanager
def copy_in_memory(text: str, name: str) -> Iterator[Copy]:
    """Give a copy of a text in a folder in memory, which is gone afterwards, also when ended.

    Ctrl-C is the editor's alone meanwhile: it must not take its work away.

    Raises:
        SecretsError: no folder here is in memory, or there is no room in it.
    """
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
    before |= {number: signal.signal(number, _stay) for number in (signal.SIGINT, signal.SIGQUIT)}
    try:
        with _locked_folder(_memory()) as (folder, lock):
            copy = folder / name
            _fill(copy, text)
            yield Copy(copy, lock)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def edited(copy: Copy) -> str:
    """Open a copy in $SOPS_EDITOR or $EDITOR; return its text.

    Raises:
        SecretsError: the editor could not be used, ended with an error, or left no text.
    """
    from stackyard.secrets.errors import SecretsError

    editor = os.environ.get("SOPS_EDITOR") or os.environ.get("EDITOR") or "vi"
    try:
        with _terminal_kept():
            command = [*shlex.split(editor), str(copy.path)]
            code = subprocess.run(command, check=False, pass_fds=(copy.lock,)).returncode
    except (OSError, ValueError):
        raise SecretsError(f"{editor} could not be used: set EDITOR") from None
    if code:
        raise SecretsError(f"{editor} ended with {code}: nothing is written")
    try:
        return copy.path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise SecretsError(f"{editor} left no text in UTF-8: nothing is written") from None


def _fill(copy: Path, text: str) -> None:
    from stackyard.secrets.errors import SecretsError

    try:
        copy.touch(mode=0o600)
        copy.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SecretsError(f"the copy to edit cannot be written: {error.strerror}") from None


@contextmanager
def _locked_folder(above: Path) -> Iterator[tuple[Path, int]]:
    _sweep(above)
    made = Path(tempfile.mkdtemp(prefix=MADE, dir=above))
    lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    folder = made.rename(made.with_name(made.name.replace(MADE, LOCKED)))
    try:
        yield folder, lock
    finally:
        shutil.rmtree(folder)
        os.close(lock)


def _sweep(above: Path) -> None:
    """Remove what an edit left that was killed, and whose editor has ended too."""
    for folder in above.glob(f"{LOCKED}*"):
        # Another edit may be as fast, or be at work there.
        with suppress(FileNotFoundError, BlockingIOError):
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
                _remove_unlocked(folder)


def _remove_unlocked(folder: Path) -> None:
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(lock)


def _memory() -> Path:
    from stackyard.secrets.errors import SecretsError

    mounted = [line.split() for line in MOUNTS.read_text().splitlines()] if MOUNTS.exists() else []
    kinds = {fields[1]: fields[2] for fields in mounted}
    for place in (os.environ.get("XDG_RUNTIME_DIR"), SHARED_MEMORY):
        if place and kinds.get(place) in IN_MEMORY and os.access(place, os.W_OK):
            return Path(place)
    raise SecretsError("no folder here is in memory alone (/dev/shm): plain text would be on disk")


@contextmanager
def _terminal_kept() -> Iterator[None]:
    """Give the terminal its settings back: an editor that is ended leaves its own."""
    if not can_ask():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        with suppress(termios.error):  # it has hung up
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _stay(_number: int, _frame: object) -> None:
    # A function and not SIG_IGN, which the editor would inherit.
    pass


def _end(number: int, _frame: object) -> NoReturn:
    raise typer.Exit(128 + number)
