"""What a run works with, and who is told what happens."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nornir.core.processor import Processor

from stackyard.nornir.processor import Event
from stackyard.proxmox.client import Client
from stackyard.proxmox.halt import Halt
from stackyard.routing import Route
from stackyard.run.controller import Controller
from stackyard.run.errors import PlayError
from stackyard.run.folder import private_folder
from stackyard.run.play import PlayEvent
from stackyard.run.probe import Probe
from stackyard.run.ready import DEADLINE_SECONDS, NotYet
from stackyard.run.target import Readiness


@dataclass(frozen=True, slots=True)
class Listener:
    """Told what happens while it happens."""

    step: Callable[[str], None] = lambda _text: None
    play: Callable[[PlayEvent], None] = lambda _event: None
    ready: Callable[[Readiness], None] = lambda _result: None
    not_yet: NotYet = lambda _target, _answer: None
    processors: Sequence[Processor] = ()  # of Nornir, for the steps of apply
    change: Callable[[Event], None] = lambda _event: None  # a VM's that no apply makes
    halt: Halt = field(default_factory=Halt)  # once called, no step of an apply begins any more


@dataclass(frozen=True, slots=True)
class Means:
    """What a run works with."""

    client: Client
    probe: Probe
    site: Path
    environ: Mapping[str, str] = field(repr=False)  # Ansible's
    output: int | None = None  # where Ansible prints; None: to a private log for each play
    timeout: float = DEADLINE_SECONDS  # seconds to wait for the hosts of a play
    listener: Listener = Listener()

    def controller(self, commit: str, route: Route) -> Controller:
        """Return what runs the play of a route for a commit.

        Raises:
            PlayError: its log cannot be made.
        """
        if self.output is not None:
            return Controller(self.site, self.environ, self.output)
        name = f"{time.strftime('%Y%m%dT%H%M%S')}-{commit}-{route.play}.log"
        try:
            return Controller(self.site, self.environ, private_folder(self.site, "logs") / name)
        except OSError as error:
            raise PlayError(
                f"{error.filename} cannot be made for the log of {route.file} ({error.strerror})"
            ) from error
