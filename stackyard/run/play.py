"""Ansible runs a play; what happens comes back as events, and as one result for each host.

ansible-playbook is the one of our own environment, called with an argument list in the site's
folder, where its ansible.cfg counts. What it prints for people goes to a private log.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackyard.run.errors import PlayError
from stackyard.run.folder import open_private

CALLBACKS = Path(__file__).parent / "callbacks"
_EVENTS = "stackyard_events"
_TEXT = "stackyard_text"
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
_LONGEST = 400  # characters of a message in a sentence


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
        return f": {_short(first[1])}" if first else ""


@dataclass(frozen=True, slots=True)
class Controller:
    """Where and how Ansible runs."""

    site: Path  # its working folder
    environ: Mapping[str, str] = field(repr=False)
    log: Path | int = 2  # a file for what Ansible prints for people, or a descriptor


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
        [_ansible_playbook(), play, "--list-hosts"],
        cwd=controller.site,
        env=_with_config(controller.environ, controller.site),
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
                [_ansible_playbook(), *arguments],
                cwd=controller.site,
                env=_with_callbacks(controller.environ, controller.site, writing),
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
        _short(event.get("msg", "")),
    )


def _reason(said: str) -> str:
    """Return the error among what Ansible said, and where it is; warnings may stand before it."""
    said = _COLOUR.sub("", said)
    if older := _OLDER_ERROR.search(said):
        return f"{_short(older[1])} ({older[2]}:{older[3]}:{older[4]})"
    found = _ERROR.search(said)
    if not found:
        return _short(said) or "no reason given"
    error, place = found.groups()
    return f"{_short(error)} ({place})" if place else _short(error)


def _short(text: str) -> str:
    # Bytes of a host that are no UTF-8 come as halves of characters, which no file takes.
    line = " ".join(text.split()).encode(errors="replace").decode()
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def _ansible_playbook() -> str:
    program = Path(sys.executable).parent / "ansible-playbook"
    if not program.exists():
        raise PlayError(f"{program} is not there: install ansible-core beside stackyard")
    return str(program)


def _with_config(environ: Mapping[str, str], site: Path) -> dict[str, str]:
    """Name the site's ansible.cfg: in a folder that all may write Ansible would pass it over."""
    config = site.resolve() / "ansible.cfg"
    own = {"ANSIBLE_CONFIG": str(config)} if config.is_file() else {}
    return {**own, **environ}


def _with_callbacks(environ: Mapping[str, str], site: Path, descriptor: int) -> dict[str, str]:
    """Add our callbacks to those that the environment or its ansible.cfg, or the site's, has."""
    config = site.resolve() / Path(environ.get("ANSIBLE_CONFIG") or "ansible.cfg").expanduser()
    settings = ConfigParser(interpolation=None, strict=False, inline_comment_prefixes=(";",))
    try:
        settings.read(config, encoding="utf-8")
    except (ConfigParserError, UnicodeDecodeError) as error:
        raise PlayError(f"{config} cannot be read: {_short(str(error))}") from error
    base = settings["defaults"] if settings.has_section("defaults") else {}
    paths = environ.get("ANSIBLE_CALLBACK_PLUGINS") or _absolute(
        base.get("callback_plugins", ""), config.parent
    )
    enabled = environ.get("ANSIBLE_CALLBACKS_ENABLED") or base.get("callbacks_enabled", "")
    text = environ.get("ANSIBLE_STDOUT_CALLBACK") or base.get("stdout_callback", "default")
    return {
        **_with_config(environ, site),
        "ANSIBLE_STDOUT_CALLBACK": _TEXT if text == "default" else text,
        "STACKYARD_EVENTS_FD": str(descriptor),
        "ANSIBLE_CALLBACK_PLUGINS": ":".join(filter(None, (str(CALLBACKS), paths))),
        "ANSIBLE_CALLBACKS_ENABLED": ",".join(filter(None, (_EVENTS, enabled))),
    }


def _absolute(paths: str, folder: Path) -> str:
    """Paths of an ansible.cfg are relative to it; those of the environment to the working one."""
    return ":".join(str(folder / Path(path).expanduser()) for path in paths.split(":") if path)


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
