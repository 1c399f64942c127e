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


class AnswerError(ProxmoxError):
    """Proxmox itself said no, at once or at the end of a task; `reason` is what it said."""

    def __init__(self, sentence: str, reason: str) -> None:
        self.reason = reason
        super().__init__(sentence)

    @property
    def is_locked(self) -> bool:
        """Whether a lock kept it from doing anything, so that it can be tried again."""
        timed_out = "can't lock file" in self.reason and "got timeout" in self.reason
        return timed_out or "VM is locked" in self.reason

    @property
    def is_stale(self) -> bool:
        """Whether another digest was said than that of the VM, or of the cluster's resources."""
        mismatches = ("checksum mismatch", "detected modified configuration")
        return any(words in self.reason for words in mismatches)

    @property
    def is_gone(self) -> bool:
        """Whether there is no such VM, or not on that node any more."""
        is_of_node = self.reason.startswith("Configuration file 'nodes/")
        return is_of_node and "does not exist" in self.reason

    @property
    def says_taken(self) -> bool:
        """Whether the VMID of a new VM, or a volume that bears it, was there already."""
        return "already exists" in self.reason

    @property
    def says_taken_by_vm(self) -> bool:
        """Whether there was a VM or a container of a new VM's number."""
        takers = ("config file already exists", "already exists on node")
        return any(words in self.reason for words in takers)


class ApiError(AnswerError):
    """Proxmox answered a request with an error.

    Its reason is the HTTP reason phrase; `errors` names parameters where some were refused (400).
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
        refused = (errors or {}).items()
        details = "; ".join(f"{name}: {' '.join(text.split())}" for name, text in refused)
        hint = " (check the credentials in PROXMOX_*)" if status == HTTPStatus.UNAUTHORIZED else ""
        if is_first and status == HTTPStatus.NOT_FOUND:
            hint = " (check PROXMOX_URL)"
        text = f"{status} {reason.strip()}{f' ({details})' if details else ''}{hint}"
        super().__init__(f"Proxmox refused {request}: {text}", reason)

    @property
    def is_refusal(self) -> bool:
        """Whether nothing was done; a gateway's error leaves that open."""
        return self.status <= HTTPStatus.NOT_IMPLEMENTED


class TaskError(AnswerError):
    """A task ended with something else than OK; its reason is its exit status."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"the Proxmox task {what} failed: {reason.strip()}", reason.strip())


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
    """The number that was meant for a VM of ours is not free, at least not for its volumes."""


class VmidTakenByVmError(VmidTakenError):
    """Somebody else has a VM, or a container, with that number."""
