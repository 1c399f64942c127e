"""One VM's steps as requests. Carries out what was planned, and refuses where the world has moved.

Every write of a configuration says which configuration it was planned against (its digest), and
Proxmox refuses it when that is not the one there any more.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from stackyard.plan.observed import Config
from stackyard.plan.values import (
    Action,
    Clone,
    Configure,
    Create,
    Delete,
    Erase,
    Grow,
    MakeTemplate,
    ManageHa,
    Migrate,
    MoveDisk,
    Reboot,
    Shutdown,
    Start,
    Step,
    Unlock,
)
from stackyard.proxmox import making, moving, power
from stackyard.proxmox.client import Client
from stackyard.proxmox.errand import Errand
from stackyard.proxmox.errors import AnswerError, VmidTakenByVmError, VmidTakenError
from stackyard.proxmox.ha_step import manage_ha
from stackyard.proxmox.halt import Halt
from stackyard.proxmox.jobs import Jobs

_DOERS: Final[Mapping[type[Step], Callable[[Errand, Any], None]]] = {
    Clone: making.clone,
    Create: making.create,
    Configure: making.configure,
    Grow: moving.grow,
    MoveDisk: moving.move_disk,
    Erase: moving.erase,
    Migrate: moving.migrate,
    ManageHa: manage_ha,
    Start: lambda errand, _step: power.start(errand),
    Reboot: lambda errand, _step: power.reboot(errand),
    Shutdown: lambda errand, _step: power.shutdown(errand),
    MakeTemplate: lambda errand, _step: power.make_template(errand),
    Unlock: power.unlock,
    Delete: lambda errand, _step: power.delete(errand),
}

_ATTEMPTS = 4  # a lock that comes and goes makes two of them useless


class Carrier:
    """Carries out the steps of one action, one after the other, in one thread."""

    def __init__(self, client: Client, jobs: Jobs, action: Action, halt: Halt) -> None:
        self._errand = Errand(client, jobs, action, halt)

    @property
    def upids(self) -> tuple[str, ...]:
        """The tasks of the step begun last."""
        return tuple(self._errand.upids)

    @property
    def warning(self) -> str:
        """What they said although they went well."""
        return self._errand.warning

    @property
    def read_back(self) -> Config | None:
        """The configuration as the steps left it; None where none of them had to read it."""
        return self._errand.read_back

    def check(self) -> None:
        """Refuse a plan for another configuration, where no step of it would make Proxmox do so.

        Raises:
            WorldMovedError: the VM is gone or has changed.
        """
        errand = self._errand
        if errand.digest is not None and not _says_digest(errand.action.steps[0]):
            errand.check()

    def carry_out(self, step: Step) -> None:
        """Do one step and wait for its end.

        Raises:
            ProxmoxError: it was refused, failed, or the world has moved.
            InterruptedRunError: the run was halted while it waited for its turn.
        """
        errand = self._errand
        errand.begin(step)
        try:
            self._do(step)
        except AnswerError as error:
            makes = isinstance(step, Clone | Create)
            if error.is_stale:
                raise errand.changed() from error
            if error.is_gone and not makes:
                raise errand.moved("it is not there any more, or on another node") from error
            if error.says_taken and makes:
                raise _taken(errand, error) from error
            raise

    def _do(self, step: Step) -> None:
        """Do a step, and again as long as all that made its digest out of date is a lock."""
        errand = self._errand
        for attempt in range(_ATTEMPTS):
            try:
                _DOERS[type(step)](errand, step)
            except AnswerError as error:
                if not error.is_stale or attempt == _ATTEMPTS - 1 or not errand.renew():
                    raise
            else:
                return


def _says_digest(step: Step) -> bool:
    """Tell whether Proxmox itself compares the digest; the write of a pool has none."""
    if isinstance(step, Configure):
        return any(change.key != "pool" for change in step.changes)
    return isinstance(step, Grow)


def _taken(errand: Errand, error: AnswerError) -> VmidTakenError:
    if not error.says_taken_by_vm:  # but by a volume that a VM before has left
        return VmidTakenError(str(error))
    moved = errand.moved("that VMID was taken after the plan was made")
    return VmidTakenByVmError(str(moved))
