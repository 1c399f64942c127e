"""How calls and tasks of the endpoint fail, and failures that a test orders."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

UNAUTHORIZED = 401
NODE_UNREACHABLE = 595  # pveproxy's own: the reason is what connecting to the node said


class ApiError(Exception):
    """An answer other than 200: the reason phrase is the first line of the text.

    Raised inside a worker it is the task's exit status instead, as on the real server.
    """

    def __init__(
        self, text: str, status: int = 500, errors: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.errors = errors


def invalid(**errors: str) -> ApiError:
    """Return the 400 for parameters that do not hold; `_` in a name stands for `-`."""
    return invalid_parameters({name.replace("_", "-"): text for name, text in errors.items()})


def invalid_parameters(errors: Mapping[str, str]) -> ApiError:
    """Return the 400 for parameters that do not hold."""
    return ApiError("Parameter verification failed.", 400, errors)


def no_config(vmid: int, node: str) -> ApiError:
    """Return the answer for a VM that this node does not have (it may be on another)."""
    return ApiError(f"Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist")


def not_found(vmid: int, node: str) -> ApiError:
    """Return the other answer for a missing VM, which clone and stop give."""
    return ApiError(f"unable to find configuration file for VM {vmid} on node '{node}'")


def forbidden(detail: str = "") -> ApiError:
    """Return the 403 that names the missing privilege."""
    return ApiError(f"Permission check failed{f' ({detail})' if detail else ''}", 403)


@dataclass
class Fault:
    """An ordered failure of the next `times` requests whose method and path match.

    They answer with the status, or with `drop` the connection is closed without an answer; with
    `after` the request has its effect first. With `meanwhile` nothing fails: somebody else does
    something just before the request is looked at.
    """

    method: str  # a regular expression as well, which has to match all of it
    path: str  # a regular expression, searched for in the path below /api2/json
    status: int = 500
    reason: str = "Internal Server Error"
    drop: bool = False
    after: bool = False
    times: int = 1
    meanwhile: Callable[[], None] | None = None

    def strikes(self, method: str, path: str) -> bool:
        """Whether this request fails; counts it."""
        matches = re.fullmatch(self.method, method) and re.search(self.path, path)
        if self.times <= 0 or not matches:
            return False
        self.times -= 1
        return True


@dataclass
class TaskFault:
    """An ordered end of the next `times` tasks of a type (`qmclone`, `qmstart`, `resize` …).

    They end with this exit status: one that starts with WARNINGS after the work is done, any other
    instead of the work. They begin `hangs` seconds late.
    """

    kind: str
    exitstatus: str = ""  # empty: as the work ends
    hangs: float = 0.0
    times: int = 1

    @property
    def warns(self) -> bool:
        """Whether the task succeeds all the same."""
        return self.exitstatus.startswith("WARNINGS")

    def strikes(self, kind: str) -> bool:
        """Whether a task of this type meets it; counts it."""
        if self.times <= 0 or kind != self.kind:
            return False
        self.times -= 1
        return True
