"""Every way Proxmox can say no, as sentences."""

from collections.abc import Mapping
from http import HTTPStatus

from stackyard.errors import StackyardError


class ProxmoxError(StackyardError):
    """The root of this room's errors."""

    @property
    def what(self) -> str:
        """What is wrong, without what to do."""
        return str(self)


class SettingsError(ProxmoxError):
    """The environment does not say how to reach Proxmox, or says it twice."""


class ConnectionFailedError(ProxmoxError):
    """No answer came: not reachable, not trusted, or not in time."""

    def __init__(self, what: str, advice: str) -> None:
        self._what = what
        super().__init__(f"{what}: {advice}")

    @property
    def what(self) -> str:
        """What is wrong, without what to do."""
        return self._what


class ApiError(ProxmoxError):
    """Proxmox answered a request with an error.

    Its text is the HTTP reason phrase; `errors` names parameters where some were refused (400).
    """

    def __init__(
        self,
        request: str,
        status: int,
        reason: str,
        errors: Mapping[str, str] | None = None,
        is_first: bool = False,  # answer of a server, which may be none of Proxmox then
    ) -> None:
        self.status = status
        self.reason = reason
        self.errors = dict(errors or {})
        details = "; ".join(f"{name}: {' '.join(t.split())}" for name, t in self.errors.items())
        hint = " (check the credentials in PROXMOX_*)" if status == HTTPStatus.UNAUTHORIZED else ""
        if is_first and status == HTTPStatus.NOT_FOUND:
            hint = " (check PROXMOX_URL)"
        text = f"{status} {reason.strip()}{f' ({details})' if details else ''}{hint}"
        super().__init__(f"Proxmox refused {request}: {text}")

    @property
    def is_refusal(self) -> bool:
        """Whether nothing was done; a gateway's error leaves that open."""
        return self.status <= HTTPStatus.NOT_IMPLEMENTED

    @property
    def is_locked(self) -> bool:
        """Whether a lock kept the request from doing anything, so that it can be tried again."""
        return is_lock(self.reason)

    @property
    def is_stale(self) -> bool:
        """Whether the configuration has another digest than the request said."""
        return is_stale(self.reason)

    @property
    def is_gone(self) -> bool:
        """Whether there is no such VM, or not on that node any more."""
        return is_gone(self.reason)

    @property
    def says_taken(self) -> bool:
        """Whether the VMID of a new VM, or a volume with that number, was there already."""
        return is_taken(self.reason)

    @property
    def says_taken_by_vm(self) -> bool:
        """Whether the VMID of a new VM was taken by someone else."""
        return is_taken_by_vm(self.reason)


class TaskError(ProxmoxError):
    """A task ended with something else than OK; `text` is its exit status."""

    def __init__(self, what: str, text: str) -> None:
        self.text = text.strip()
        super().__init__(f"the Proxmox task {what} failed: {self.text}")

    @property
    def is_locked(self) -> bool:
        """Whether a lock kept the task from doing anything, so that it can be tried again."""
        return is_lock(self.text)

    @property
    def is_stale(self) -> bool:
        """Whether the configuration has another digest than the task was told."""
        return is_stale(self.text)

    @property
    def is_gone(self) -> bool:
        """Whether there is no such VM, or not on that node any more."""
        return is_gone(self.text)

    @property
    def says_taken(self) -> bool:
        """Whether the VMID of a new VM, or a volume with that number, was there already."""
        return is_taken(self.text)

    @property
    def says_taken_by_vm(self) -> bool:
        """Whether the VMID of a new VM was taken by someone else."""
        return is_taken_by_vm(self.text)


class TaskTimeoutError(ProxmoxError):
    """A task was still running when our patience ended; it goes on without us."""


class LostTaskError(ProxmoxError):
    """Nobody knows how a task that was accepted ends, for Proxmox does not answer any more."""

    def __init__(self, upid: str, error: ProxmoxError) -> None:
        super().__init__(
            f"lost the connection: {error.what}; the task {upid} may go on: run it again"
        )


class WorldMovedError(ProxmoxError):
    """What is there is not what the plan was made against."""


class InterruptedRunError(ProxmoxError):
    """The run was halted before this was begun."""


class VmidTakenError(WorldMovedError):
    """Somebody else made a VM with the number that was meant for ours."""


def is_lock(text: str) -> bool:
    """Tell whether an error text means "busy", with nothing done."""
    return "VM is locked" in text or ("can't lock file" in text and "got timeout" in text)


def is_stale(text: str) -> bool:
    """Tell whether an error text means another digest: of a VM, or of the cluster's resources."""
    return "checksum mismatch" in text or "detected modified configuration" in text


def is_gone(text: str) -> bool:
    """Tell whether an error text means that a node has no VM of that number."""
    return text.startswith("Configuration file 'nodes/") and "does not exist" in text


def is_taken(text: str) -> bool:
    """Tell whether an error text means that a VMID, or a volume that bears it, exists."""
    return "already exists" in text


def is_taken_by_vm(text: str) -> bool:
    """Tell whether an error text means that there is a VM or a container of that number."""
    return "config file already exists" in text or "already exists on node" in text
