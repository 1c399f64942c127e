"""One VM's steps as requests. Carries out what was planned, and refuses where the world has moved.

Every write of a configuration says which configuration it was planned against (its digest), and
Proxmox refuses it when that is not the one there any more.
"""

import threading
from collections.abc import Callable
from typing import Any

from stackyard.definitions.model import Disk
from stackyard.plan.observed import marker
from stackyard.plan.values import (
    Action,
    Change,
    Clone,
    Configure,
    Create,
    Delete,
    Erase,
    Grow,
    MakeTemplate,
    Migrate,
    MoveDisk,
    Reboot,
    Shutdown,
    Start,
    Step,
)
from stackyard.proxmox import properties, wire
from stackyard.proxmox.client import Client
from stackyard.proxmox.errors import (
    ApiError,
    InterruptedRunError,
    TaskError,
    VmidTakenError,
    WorldMovedError,
    is_taken,
)
from stackyard.proxmox.jobs import Jobs
from stackyard.proxmox.pools import put_into_pool

GUEST_SECONDS = 120  # for a guest to shut down before it is forced, or its reboot given up
_REBOOT_POLLS = 120  # of half a second: a reboot task ends before the VM is up again


class Carrier:
    """Carries out the steps of one action, one after the other, in one thread.

    Once `halt` is set no step begins any more. `upids` are the tasks of the step begun last, and
    `warning` is what they said although they went well.
    """

    def __init__(
        self, client: Client, jobs: Jobs, action: Action, halt: threading.Event | None = None
    ) -> None:
        self._client = client
        self._jobs = jobs
        self._action = action
        self._halt = halt or threading.Event()
        self._place = action.node  # the node it is on now
        self._digest = action.digest  # None once it is out of date
        # Marked until it is configured.
        self._is_new = action.verb in ("create", "finish", "replace")
        self.upids: list[str] = []
        self.warning = ""

    @property
    def _node(self) -> str:
        return f"/nodes/{self._place}/qemu"

    @property
    def _vm(self) -> str:
        return f"{self._node}/{self._action.vmid}"

    def check(self) -> None:
        """Refuse a plan for another configuration, where no step of it would make Proxmox do so.

        Raises:
            WorldMovedError: the VM is gone or has changed.
            InterruptedRunError: the run was interrupted before.
        """
        self._check_halt()
        first = self._action.steps[0]
        if self._digest is None or isinstance(first, Configure | Grow):
            return
        if self._read()["digest"] != self._digest:
            raise self._moved("it changed since the plan was made")

    def carry_out(self, step: Step) -> None:
        """Do one step and wait for its end.

        Raises:
            ProxmoxError: it was refused, failed, or the world has moved.
            InterruptedRunError: the run was interrupted, and it was not begun.
        """
        self.upids = []
        self.warning = ""
        self._check_halt()
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

    def _do(self, step: Step) -> None:
        doers: dict[type[Step], Callable[[Any], None]] = {
            Clone: self._clone,
            Create: self._create,
            Configure: self._configure,
            Grow: self._grow,
            MoveDisk: self._move_disk,
            Erase: self._erase,
            Migrate: self._migrate,
            Start: lambda _step: self._start(),
            Reboot: lambda _step: self._reboot(),
            Shutdown: lambda _step: self._shutdown(),
            MakeTemplate: lambda _step: self._make_template(),
            Delete: lambda _step: self._delete(),
        }
        doers[type(step)](step)

    def _clone(self, step: Clone) -> None:
        full = {"storage": step.storage, "format": step.format} if step.full else {}
        path = f"{self._node}/{step.template_vmid}/clone"
        with self._jobs.cloning(self._place, step.storage):
            self._check_halt()  # waiting for a place takes long
            self._run(
                "clone",
                lambda: self._client.post(
                    path,
                    newid=self._action.vmid,
                    name=self._action.name,
                    full=step.full,
                    description=marker(self._action.name),
                    **full,
                    **({"pool": step.pool} if step.pool else {}),
                ),
            )

    def _create(self, step: Create) -> None:
        parameters = wire.parameters(step.changes)
        self._run(
            "create", lambda: self._client.post(self._node, vmid=self._action.vmid, **parameters)
        )

    def _configure(self, step: Configure) -> None:
        pool = next((change.after for change in step.changes if change.key == "pool"), None)
        options = tuple(change for change in step.changes if change.key != "pool")
        if options:
            self._write(options)
        if isinstance(pool, str):
            put_into_pool(self._client, self._action.vmid, pool)

    def _write(self, changes: tuple[Change, ...]) -> None:
        only_removes = all(change.after is None for change in changes)
        if self._is_new and self._digest is None and only_removes:
            digest = None  # a drive of a fresh clone is in the way; the next write looks first
        else:
            digest = self._digest or self._fresh_digest()
        self._client.put(f"{self._vm}/config", digest=digest, **wire.parameters(changes))
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

    def _move_disk(self, step: MoveDisk) -> None:
        digest, self._digest = self._digest, None
        self._run(
            "disk move",
            lambda: self._client.post(
                f"{self._vm}/move_disk",
                disk=step.slot,
                storage=step.storage,
                delete=True,  # of the source, once the copy has taken its place
                digest=digest,
                **({"format": step.format} if step.format else {}),
            ),
        )

    def _erase(self, step: Erase) -> None:
        """Delete a disk that is still the one of the plan; `force` spares it being kept."""
        config = self._read()
        slot = wire.decode(step.slot, config.get(step.slot, ""))
        there = slot[1][0] if slot else None
        is_old = self._digest is not None and config["digest"] != self._digest
        volume = there.volume if isinstance(there, Disk) else None
        # Of a clone that this plan makes the volume is not known before.
        if is_old or volume is None or step.disk.volume not in (None, volume):
            raise self._moved(f"{step.slot} changed since the plan was made")
        self._digest = None
        form = {"delete": step.slot, "force": True, "digest": config["digest"]}
        self._client.put(f"{self._vm}/config", **form)

    def _migrate(self, step: Migrate) -> None:
        form: dict[str, str | bool] = {"target": step.target}
        if step.online:
            form |= {"online": True, "with-local-disks": True}
        if step.storages:
            form["targetstorage"] = ",".join(step.storages)
        self._run("migration", lambda: self._client.post(f"{self._vm}/migrate", **form))
        self._place, self._digest = step.target, None

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

    def _make_template(self) -> None:
        self._run("template", lambda: self._client.post(f"{self._vm}/template"))

    def _delete(self) -> None:
        query = {"purge": True, "destroy-unreferenced-disks": True}
        self._run("destroy", lambda: self._client.delete(self._vm, **query))
        self._place, self._digest = self._action.target or self._place, None

    def _status(self, verb: str, **params: int) -> None:
        self._run(verb, lambda: self._client.post(f"{self._vm}/status/{verb}", **params))

    def _run(self, verb: str, begin: Callable[[], Any]) -> None:
        def begin_and_note() -> Any:
            upid = begin()
            if isinstance(upid, str):
                self.upids.append(upid)
            return upid

        status = self._jobs.run(self._what(verb), begin_and_note)
        if status != "OK":
            self.warning = f"{status}, see its task on {self._place}"

    def _check_halt(self) -> None:
        if self._halt.is_set():
            raise InterruptedRunError("interrupted; apply again to finish")

    def _read(self) -> dict[str, Any]:
        config: dict[str, Any] = self._client.get(f"{self._vm}/config")
        return config

    def _what(self, verb: str) -> str:
        return f"{verb} of {self._action.name} (VM {self._action.vmid} on {self._place})"

    def _taken(self) -> VmidTakenError:
        moved = self._moved("that VMID was taken after the plan was made")
        return VmidTakenError(str(moved))

    def _moved(self, why: str) -> WorldMovedError:
        return WorldMovedError(
            f"{self._action.name} (VM {self._action.vmid} on {self._place}) is left alone: "
            f"{why}, perhaps by another apply; plan again"
        )
