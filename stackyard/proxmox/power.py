"""Steps on the whole VM: its power, becoming a template, and its end."""

from typing import Any

from stackyard.definitions.model import PowerState
from stackyard.plan.values import Unlock
from stackyard.proxmox.errand import Errand
from stackyard.proxmox.errors import TaskError
from stackyard.proxmox.pauses import comes_true

GUEST_SECONDS = 120  # for a guest to shut down before it is forced, or its reboot given up
SWITCH_SECONDS = 120.0  # for the power to be as asked: a reboot task ends before the VM is up


def start(errand: Errand) -> None:
    """Power the VM on, unless somebody else was quicker."""
    try:
        _status(errand, "start")
    except TaskError as error:
        if "already running" not in error.reason:
            raise
    if errand.is_left_to_cluster:
        until(errand, "running")


def reboot(errand: Errand) -> None:
    """Restart the guest, and wait until the VM runs again.

    Raises:
        TaskError: it does not.
    """
    path, form = f"{errand.vm}/status/reboot", {"timeout": GUEST_SECONDS}
    errand.run("reboot", lambda: errand.client.post(path, **form))
    errand.digest = None
    until(errand, "running")


def until(errand: Errand, power: PowerState, patience: float = SWITCH_SECONDS) -> None:
    """Wait until the VM runs, or has stopped: after tasks that end before.

    Raises:
        TaskError: it does not.
    """
    if not comes_true(lambda: _current(errand) == power, patience, errand.jobs.pause):
        raise TaskError(errand.what("switch of the power"), f"the VM is not {power} after all")


def is_running(errand: Errand) -> bool:
    """Tell whether the VM runs now, which no digest does."""
    return _current(errand) != "stopped"


def _current(errand: Errand) -> str:
    return str(errand.client.get(f"{errand.vm}/status/current")["status"])


def shutdown(errand: Errand) -> None:
    """Shut the guest down, by force once its time is over."""
    _status(errand, "shutdown", timeout=GUEST_SECONDS, forceStop=True)
    if errand.is_left_to_cluster:
        until(errand, "stopped", GUEST_SECONDS + SWITCH_SECONDS)  # it waits for the guest, too
    errand.digest = None  # Proxmox writes waiting changes down when a VM stops


def make_template(errand: Errand) -> None:
    """Turn the VM into a template."""
    errand.run("template", lambda: errand.client.post(f"{errand.vm}/template"))


def unlock(errand: Errand, step: Unlock) -> None:
    """Take off a lock that no task holds any more.

    Raises:
        WorldMovedError: the VM has another one, or none.
    """
    config = errand.read()
    if config.lock != step.lock:
        raise errand.moved(f"it is not locked ({step.lock}) any more")
    form: dict[str, str | bool] = {"delete": "lock", "skiplock": True}
    errand.client.put(f"{errand.vm}/config", digest=config.digest, **form)
    errand.digest = None


def delete(errand: Errand) -> None:
    """Remove the VM with all the disks that its configuration has, unused ones too.

    Not those that only bear its number: on a storage that two clusters share they may be those of
    the other one's VM. One that follows it may be on another node.
    """

    def begin() -> Any:
        errand.check_ours()  # each time: it may have waited for the guest, or for a lock
        return errand.client.delete(errand.vm, purge=True)

    errand.run("destroy", begin)
    errand.node, errand.digest = errand.action.target or errand.node, None


def _status(errand: Errand, verb: str, **params: int) -> None:
    """Ask for a state, which is the same if it is asked for twice."""
    path = f"{errand.vm}/status/{verb}"
    errand.run(verb, lambda: errand.client.repeat("POST", path, lambda: True, **params))
