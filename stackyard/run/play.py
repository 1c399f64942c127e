"""Ansible runs a play; what happens comes back as events, and as one result for each host.

What Ansible prints for people goes to a private log.
"""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackyard.run.controller import Controller
from stackyard.run.errors import PlayError, short
from stackyard.run.folder import open_private

_ERROR = re.compile(
    r"^(?:\[ERROR\]:|ERROR[!:]) (.+?)(?:\nOrigin: ([^\n]+)|\n\n|\Z)", re.MULTILINE | re.DOTALL
)
# ansible-core 2.18 has the place behind all that it says.
_OLDER_ERROR = re.compile(
    r"^ERROR! (.+?)\n\nThe error appears to be in '(.+?)': line (\d+), column (\d+)",
    re.MULTILINE | re.DOTALL,
)
_HOSTS = re.compile(r"^ {4}hosts \(\d+\):$")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # ANSIBLE_FORCE_COLOR, which jobs of CI often set


@dataclass(frozen=True, slots=True)
class PlayEvent:
    """Something happened: `kind` is play, task, ok, changed, failed, ignored, unreachable, cut."""

    kind: str
    host: str = ""
    task: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class HostResult:
    """Numbers of tasks of one host, as Ansible counts them."""

    ok: int = 0
    changed: int = 0
    failed: int = 0
    unreachable: int = 0

    @property
    def succeeded(self) -> bool:
        """Whether nothing failed."""
        return not self.failed and not self.unreachable


@dataclass(frozen=True, slots=True)
class PlayResult:
    """How a play ended."""

    play: str
    exit_code: int
    hosts: Mapping[str, HostResult] = field(default_factory=dict)
    failures: tuple[PlayEvent, ...] = ()
    log: Path | None = None
    was_cut: bool = False  # hosts without a failure were ended too
    unwritten: str = ""  # why the log is not whole

    @property
    def succeeded(self) -> tuple[str, ...]:
        """The hosts on which nothing failed and that saw the play's end."""
        if self.was_cut:
            return ()
        return tuple(sorted(name for name, host in self.hosts.items() if host.succeeded))

    @property
    def failure(self) -> str | None:
        """Return the failure of each host as a sentence; None where all went well."""
        where = f" (see {self.log})" if self.log else ""
        lost = {name for name, host in self.hosts.items() if not host.succeeded}
        # Earlier failures of a host were rescued by the play, or it would have stopped there.
        last = {event.host: event for event in self.failures if event.host in lost}
        if last:
            said = "; ".join(
                f"{'could not reach' if event.kind == 'unreachable' else 'failed on'} "
                f"{event.host} in {event.task!r}: {event.message}"
                for event in last.values()
            )
            return f"{self.play} {said}{where}"
        if self.exit_code or lost:
            return f"{self.play} ended with exit code {self.exit_code}{self._said()}{where}"
        return None

    def _said(self) -> str:
        """Return the first error that Ansible printed, where no task had one."""
        if self.log is None:
            return ""
        with self.log.open(encoding="utf-8", errors="replace") as lines:
            plain = (_COLOUR.sub("", line) for line in lines)
            first = next(filter(None, map(_ERROR.match, plain)), None)
        return f": {short(first[1])}" if first else ""


def run_play(
    controller: Controller,
    play: str,
    hosts: Sequence[str],
    tell: Callable[[PlayEvent], None] = lambda _event: None,
) -> PlayResult:
    """Run a playbook of the site on these hosts, or on all of its own where none are given.

    Raises:
        PlayError: there is no ansible-playbook, or its log cannot be written.
    """
    limit = ("--limit", ",".join(hosts)) if hosts else ()
    with _log(controller.log) as output:
        exit_code, events = _run(controller, (play, *limit), output, tell)
    log = controller.log if isinstance(controller.log, Path) else None
    return _result(play, exit_code, events, log)


def play_hosts(controller: Controller, play: str) -> tuple[str, ...]:
    """Return the hosts that a playbook of the site would run on.

    Raises:
        PlayError: Ansible cannot tell, because of a mistake in the playbook or the inventory.
    """
    done = subprocess.run(
        [controller.program, play, "--list-hosts"],
        cwd=controller.site,
        env=controller.with_config(),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise PlayError(f"{play} cannot be read: {_reason(done.stderr.strip() or done.stdout)}")
    found: set[str] = set()
    listing = False
    for line in done.stdout.splitlines():
        if _HOSTS.match(line):
            listing = True
        elif listing and line.startswith(" " * 6):
            found.add(line.strip())
        else:
            listing = False
    return tuple(sorted(found))


def _run(
    controller: Controller,
    arguments: Sequence[str],
    output: int,
    tell: Callable[[PlayEvent], None],
) -> tuple[int, list[dict[str, Any]]]:
    events = []
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as lines:
        try:
            process = subprocess.Popen(
                [controller.program, *arguments],
                cwd=controller.site,
                env=controller.with_callbacks(writing),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(writing,),
            )
        finally:
            os.close(writing)
        try:
            for line in lines:
                if not line.endswith("\n"):  # Ansible was killed within it, for want of memory say
                    break
                event = json.loads(line)
                events.append(event)
                tell(_event(event))
            return process.wait(), events
        except BaseException:
            process.terminate()
            process.wait()
            raise


def _result(
    play: str, exit_code: int, events: list[dict[str, Any]], log: Path | None
) -> PlayResult:
    none: dict[str, Any] = {"hosts": {}, "unwritten": ""}
    stats = next((event for event in events if event["event"] == "stats"), none)
    hosts = {
        name: HostResult(host["ok"], host["changed"], host["failures"], host["unreachable"])
        for name, host in stats["hosts"].items()
    }
    bad = [_event(event) for event in events if event["event"] in ("failed", "unreachable")]
    # What a rescue took back ended nobody.
    was_cut = exit_code != 0 and any(event["event"] == "cut" for event in events)
    return PlayResult(play, exit_code, hosts, tuple(bad), log, was_cut, stats["unwritten"])


def _event(event: Mapping[str, Any]) -> PlayEvent:
    return PlayEvent(
        event["event"],
        event.get("host", ""),
        event.get("task", event.get("play", "")),
        short(event.get("msg", "")),
    )


def _reason(said: str) -> str:
    """Return the error among what Ansible said, and where it is; warnings may stand before it."""
    said = _COLOUR.sub("", said)
    if older := _OLDER_ERROR.search(said):
        return f"{short(older[1])} ({older[2]}:{older[3]}:{older[4]})"
    found = _ERROR.search(said)
    if not found:
        return short(said) or "no reason given"
    error, place = found.groups()
    return f"{short(error)} ({place})" if place else short(error)


@contextmanager
def _log(log: int | Path) -> Iterator[int]:
    if isinstance(log, int):
        yield log
        return
    try:
        descriptor = open_private(log)
    except OSError as error:
        raise PlayError(f"the play's log {log} cannot be written ({error.strerror})") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)
