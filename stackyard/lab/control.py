"""Bringing a lab up, finding it, and taking it down without a trace."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stackyard.lab import cgroups, processes
from stackyard.lab.addresses import in_lan, lab_id
from stackyard.lab.errors import LabError
from stackyard.lab.folder import PRIVATE, Folder, ignore_in_git, read_json
from stackyard.lab.image import Report, ensure_image
from stackyard.lab.platform_file import load_platform
from stackyard.lab.processes import Process
from stackyard.lab.requirements import check_programs
from stackyard.lab.settings import Services, Settings, load_services, load_settings
from stackyard.lab.visitors import end_visitors

READY_SECONDS = 60.0
TERM_SECONDS = 5.0
KILL_SECONDS = 15.0
PAUSE = 0.05
LAST_LINES = 8  # of the daemon's log, in an error


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab that runs."""

    folder: Folder
    process: Process
    settings: Settings
    services: Services

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point the product at it, secrets among them."""
        return read_json(self.folder.environment)


def up(path: Path, cache: Path, platform: Path, report: Report, *, machines: bool) -> Lab:
    """Start the lab of a folder and return it once everything answers; one that runs stays."""
    folder = Folder(path.resolve())
    if machines:
        check_programs()
    # Mistakes of the platform are the caller's to see, not the log's.
    nodes = load_platform(platform).nodes
    if machines:
        in_lan(node.address for node in nodes.values())
    with _locked(folder):
        if (lab := find(folder.path)) is not None:
            report(f"the lab is up already, as {lab.settings.platform} says")
            return lab
        _clean(folder)
        folder.path.chmod(0o700)
        image = str(ensure_image(cache.resolve(), report)) if machines else ""
        settings = Settings(str(platform.resolve()), str(cache.resolve()), image)
        settings.save(folder)
        ignore_in_git(folder.path)
        report("starting the lab")
        try:
            return _start(folder, settings)
        except KeyboardInterrupt:  # nobody knows of it: it would only go on by itself
            report("interrupted: taking the lab down again")
            _remove(folder)
            raise


def find(path: Path) -> Lab | None:
    """Return the lab of a folder, None where none is up."""
    folder = Folder(path.resolve())
    try:
        process = processes.load(folder.process)
        # Of a lab that is no more nothing else is read: a power cut may have left half of it.
        services = load_services(folder) if process and process.alive else None
    except PermissionError as error:
        raise LabError(f"the lab in {path} belongs to another user; use sudo") from error
    if process is None or services is None:
        return None
    return Lab(folder, process, load_settings(folder), services)


def down(path: Path) -> bool:
    """Stop the lab of a folder and remove all of it; False when there was nothing to remove.

    Whatever way the lab ended before, nothing of it is left but the cache.
    """
    folder = Folder(path.resolve())
    if not folder.path.exists():
        return False
    with _locked(folder):
        _remove(folder)
    return True


@contextmanager
def _locked(folder: Folder) -> Iterator[None]:
    """Hold the lab's folder; of two that start or stop one lab at once, one waits."""
    folder.create()
    while True:
        descriptor = _open(folder.path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Who held it before may have removed it: then it is no longer the folder.
            if _is_same(descriptor, folder.path):
                yield
                return
        finally:
            os.close(descriptor)
        folder.create()


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError as error:
        raise LabError(f"the lab in {path} belongs to another user; use sudo") from error


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _remove(folder: Folder) -> None:
    _clean(folder)
    folder.path.rmdir()


def _clean(folder: Folder) -> None:
    """End the lab's processes and remove what it wrote; LabError in a folder that is no lab's."""
    if not folder.settings.exists():
        if any(folder.path.iterdir()):
            raise LabError(f"{folder.path} is not empty and no lab's folder; choose another --dir")
        return
    process = processes.load(folder.process)
    if process is not None:
        _end(process)
    end_visitors(folder.path)
    hierarchy = cgroups.hierarchy() if sys.platform == "linux" else None
    if hierarchy is not None:
        cgroups.remove(hierarchy / lab_id(folder.path))
    folder.empty()


def _end(process: Process) -> None:
    """End the daemon: with its init go all machines, mounts and namespaces."""
    ended = process.end(signal.SIGTERM, TERM_SECONDS)
    if not ended and not process.end(signal.SIGKILL, KILL_SECONDS):
        raise LabError(f"the lab's process {process.pid} does not end; kill it and try again")


def _start(folder: Folder, settings: Settings) -> Lab:
    descriptor = os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE)
    try:
        starter = subprocess.Popen(
            [sys.executable, "-m", "stackyard.lab.daemon", str(folder.path)],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            cwd="/",
        )
        try:
            starter.wait()
        except KeyboardInterrupt:
            starter.wait()  # it ends soon, and only then it is known what it has started
            raise
    finally:
        os.close(descriptor)
    process = processes.load(folder.process)
    if starter.returncode or process is None:
        raise LabError(f"the lab did not start: {_last_words(folder)}")
    return Lab(folder, process, settings, _await(folder, process))


def _await(folder: Folder, process: Process) -> Services:
    deadline = time.monotonic() + READY_SECONDS
    while process.alive:
        if (services := load_services(folder)) is not None:
            return services
        if time.monotonic() > deadline:
            _end(process)
            raise LabError(
                f"the lab was not ready after {READY_SECONDS:.0f} s: {_last_words(folder)}"
            )
        time.sleep(PAUSE)
    raise LabError(f"the lab ended at its start: {_last_words(folder)}")


def _last_words(folder: Folder) -> str:
    lines = folder.log.read_text(encoding="utf-8", errors="replace").splitlines()
    return " / ".join(line.strip() for line in lines[-LAST_LINES:]) or "it said nothing"
