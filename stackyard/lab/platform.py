"""What the lab plays: nodes, storages, bridges, templates, VMs, users, from one YAML file.

Secrets are never part of it: tokens and users are names here, and whoever starts the endpoint
hands their secrets over apart. Sizes are bytes, memory is MiB, times are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from stackyard.errors import StackyardError

StorageType = Literal["dir", "lvmthin"]


class PlatformError(StackyardError):
    """A platform file says something the lab cannot play; the text names file and line."""


@dataclass(frozen=True, slots=True)
class Latency:
    """How long work takes, in seconds, beside what it costs anyway."""

    request: float = 0.0
    config: float = 0.0
    create: float = 0.0
    clone: float = 0.3
    resize: float = 0.05
    start: float = 0.1
    stop: float = 0.0
    delete: float = 0.0
    migrate: float = 0.0
    move: float = 0.0  # of a disk


@dataclass(frozen=True, slots=True)
class Timing:
    """The recorded server's own clocks, in seconds."""

    auth_failure: float = 3.0  # a 401 answers that late
    agent: float = 3.0  # until a silent guest agent is given up
    statd: float = 10.0  # between two rounds of pvestatd, which feeds /cluster/resources
    lock: float = 10.0  # until waiting for another worker's lock file is given up


@dataclass(frozen=True, slots=True)
class Node:
    """One member of the cluster."""

    name: str
    threads: int = 4
    memory_mib: int = 16384
    cpu: str = "Intel(R) Xeon(R) Processor"
    address: str = "127.0.0.1"
    bridges: tuple[str, ...] = ("vmbr0",)


@dataclass(frozen=True, slots=True)
class Storage:
    """A storage as the whole cluster sees it; each node has its own volumes unless it is shared."""

    name: str
    type: StorageType
    content: tuple[str, ...]
    path: str
    size_bytes: int
    nodes: tuple[str, ...] = ()  # empty: all
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Guest:
    """A VM that is there from the start; a disk written `storage:GiB` is allocated."""

    name: str
    node: str
    vmid: int
    config: Mapping[str, str]
    template: bool = False
    running: bool = False


@dataclass(frozen=True, slots=True)
class File:
    """A file a dir storage holds from the start: an ISO, an image to import, a snippet."""

    volid: str
    size_bytes: int
    nodes: tuple[str, ...] = ()  # empty: all


@dataclass(frozen=True, slots=True)
class Token:
    """An API token of a user; with privilege separation it may do nothing (it has no ACL)."""

    name: str
    privsep: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """Who may log in; `admin` gives every privilege, else none."""

    name: str  # user@realm
    admin: bool = True
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True)
class Platform:
    """One cluster to play."""

    nodes: Mapping[str, Node]
    storages: Mapping[str, Storage]
    name: str = "lab"
    guests: tuple[Guest, ...] = ()
    files: tuple[File, ...] = ()
    users: Mapping[str, User] = field(default_factory=dict)
    pools: tuple[str, ...] = ()
    ssh: bool = False  # between the nodes, which moves of VMs need
    nameservers: tuple[str, ...] = ()  # what a guest without one of its own is told
    latency: Latency = Latency()
    timing: Timing = Timing()

    @property
    def identities(self) -> tuple[str, ...]:
        """The names that need a secret: users, and tokens written `user@realm!token`."""
        tokens = (f"{u.name}!{t.name}" for u in self.users.values() for t in u.tokens)
        return (*self.users, *tokens)
