"""One VM's steps as requests. Carries out what was planned, and refuses where the world has moved.

Every write of a configuration says which configuration it was planned against (its digest), and
Proxmox refuses it when that is not the one there any more.
"""

from collections.abc import Callable
from typing import Any

from stackyard.plan.observed import marker
from stackyard.plan.values import (
    Action,
    Clone,
    Configure,
    Create,
    Delete,
    Grow,
    MakeTemplate,
    Reboot,
    Shutdown,
    Start,
    Step,
)
from stackyard.proxmox import properties, wire
from stackyard.proxmox.client import Client
from stackyard.proxmox.errors import (
    ApiError,
    TaskError,
    VmidTakenError,
    WorldMovedError,
    is_taken,
)
from stackyard.proxmox.jobs import Jobs

GUEST_SECONDS = 120  # for a guest to shut down before it is forced, or its reboot given up
_REBOOT_POLLS = 120  # of half a second: a reboot task ends before the VM is up again


class Carrier:
    """Carries out the steps of one action, one after the other, in one thread."""

    def __init__(self, client: Client, jobs: Jobs, action: Action) -> None:
        self._client = client
        self._jobs = jobs
        self._action = action
        self._node = f"/nodes/{action.node}/qemu"
        self._vm = f"{self._node}/{action.vmid}"
        self._digest = action.digest  # None once it is out of date
        self._warnings = ""
        self._is_new = action.verb in ("create", "finish")  # marked until it is configured

    def check(self) -> None:
        """Refuse a plan for another configuration, where no step of it would make Proxmox do so.

        Raises:
            WorldMovedError: the VM is gone or has changed.
        """
        first = self._action.steps[0]
        if self._digest is None or isinstance(first, Configure | Grow):
            return
        if self._read()["digest"] != self._digest:
            raise self._moved("it changed since the plan was made")

    def carry_out(self, step: Step) -> str:
        """Do one step and wait for its end; return what is to be told of it, "" for nothing.

        Raises:
            ProxmoxError: it was refused, failed, or the world has moved.
        """
        self._warnings = ""
        try:
            self._do(step)
        except ApiError as error:
            if error.is_stale:
                raise self._moved("it changed since the plan was made") from error
            if isinstance(step, Clone | Create) and error.says_taken:
                raise self._taken() from error
            raise
        except TaskError as error:
            if "checksum mismatch" in error.text:
                raise self._moved("it changed since the plan was made") from error
            if isinstance(step, Clone | Create) and is_taken(error.text):
                raise self._taken() from error
            raise
        return self._warnings

    def _do(self, step: Step) -> None:
        match step:
            case Clone():
                self._clone(step)
            case Create():
                self._create(step)
            case Configure():
                self._configure(step)
            case Grow():
                self._grow(step)
            case Start():
                self._start()
            case Reboot():
                self._reboot()
            case Shutdown():
                self._shutdown()
            case MakeTemplate():
                self._run("template", lambda: self._client.post(f"{self._vm}/template"))
            case Delete():
                self._delete()

    def _clone(self, step: Clone) -> None:
        full = {"storage": step.storage, "format": step.format} if step.full else {}
        path = f"{self._node}/{step.template_vmid}/clone"
        with self._jobs.cloning(self._action.node, step.storage):
            self._run(
                "clone",
                lambda: self._client.post(
                    path,
                    newid=self._action.vmid,
                    name=self._action.name,
                    full=step.full,
                    description=marker(self._action.name),
                    **full,
                ),
            )

    def _create(self, step: Create) -> None:
        parameters = wire.parameters(step.changes)
        self._run(
            "create", lambda: self._client.post(self._node, vmid=self._action.vmid, **parameters)
        )

    def _configure(self, step: Configure) -> None:
        only_removes = all(change.after is None for change in step.changes)
        if self._is_new and self._digest is None and only_removes:
            digest = None  # a drive of a fresh clone is in the way; the next write looks first
        else:
            digest = self._digest or self._fresh_digest()
        self._client.put(f"{self._vm}/config", digest=digest, **wire.parameters(step.changes))
        self._digest = None

    def _fresh_digest(self) -> str:
        config = self._read()
        is_marked = config.get("description") == marker(self._action.name)
        if self._is_new and (not is_marked or "lock" in config):
            raise self._moved("somebody else works on it")
        return str(config["digest"])

    def _grow(self, step: Grow) -> None:
        size = properties.size(step.size_bytes)
        digest, self._digest = self._digest, None
        self._run(
            "resize",
            lambda: self._client.put(
                f"{self._vm}/resize", disk=step.slot, size=size, digest=digest
            ),
        )

    def _start(self) -> None:
        try:
            self._status("start")
        except TaskError as error:
            if "already running" not in error.text:
                raise

    def _reboot(self) -> None:
        self._status("reboot", timeout=GUEST_SECONDS)
        self._digest = None
        for _ in range(_REBOOT_POLLS):
            if self._client.get(f"{self._vm}/status/current")["status"] == "running":
                return
            self._jobs.pause(0.5)
        raise TaskError(self._what("reboot"), "the VM did not come up again")

    def _shutdown(self) -> None:
        self._status("shutdown", timeout=GUEST_SECONDS, forceStop=True)
        self._digest = None  # Proxmox writes waiting changes down when a VM stops

    def _delete(self) -> None:
        query = {"purge": True, "destroy-unreferenced-disks": True}
        self._run("destroy", lambda: self._client.delete(self._vm, **query))

    def _status(self, verb: str, **params: int) -> None:
        self._run(verb, lambda: self._client.post(f"{self._vm}/status/{verb}", **params))

    def _run(self, verb: str, begin: Callable[[], Any]) -> None:
        status = self._jobs.run(self._what(verb), begin)
        if status != "OK":
            self._warnings = f"{status}, see its task on {self._action.node}"

    def _read(self) -> dict[str, Any]:
        config: dict[str, Any] = self._client.get(f"{self._vm}/config")
        return config

    def _what(self, verb: str) -> str:
        return f"{verb} of {self._action.name} (VM {self._action.vmid} on {self._action.node})"

    def _taken(self) -> VmidTakenError:
        moved = self._moved("that VMID was taken after the plan was made")
        return VmidTakenError(str(moved))

    def _moved(self, why: str) -> WorldMovedError:
        return WorldMovedError(
            f"{self._action.name} (VM {self._action.vmid} on {self._action.node}) is left alone: "
            f"{why}, perhaps by another apply; plan again"
        )
