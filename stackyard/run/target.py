"""A host that is waited for, and what became of it."""

from dataclasses import dataclass

from stackyard.inventory.build import SSH_PORT, known_as


@dataclass(frozen=True, slots=True)
class Target:
    """A running VM to reach by ssh."""

    name: str
    address: str
    node: str
    vmid: int
    user: str | None = None  # None: whoever we are
    port: int = SSH_PORT
    has_agent: bool = False  # its host key can be asked from Proxmox
    is_fresh: bool = False  # created and not configured yet, so a new host key is no surprise

    @property
    def known_names(self) -> tuple[str, str]:
        """What known_hosts calls it: by address and by name."""
        return known_as(self.address, self.port), known_as(self.name, self.port)


@dataclass(frozen=True, slots=True)
class Readiness:
    """How waiting for a host ended."""

    target: Target
    is_ready: bool
    reason: str = ""  # why not
    notes: tuple[str, ...] = ()  # what a person should know all the same
    seconds: float = 0.0
