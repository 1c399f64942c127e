"""One VM while it is worked on: where it is, which configuration is known of it, its tasks."""

from collections.abc import Callable
from typing import Any

from stackyard.plan.observed import TAG, Config, marker
from stackyard.plan.values import Action, Start, Step, Unlock
from stackyard.proxmox.client import Client
from stackyard.proxmox.errors import ProxmoxError, WorldMovedError
from stackyard.proxmox.halt import Halt
from stackyard.proxmox.jobs import Jobs
from stackyard.proxmox.observe import read_config

IsAlone = Callable[[Config], bool]
_ATTEMPTS = 5  # to write what is applied each time, but whose answer is lost


class Errand:
    """What the steps of one action share, in one thread.

    Once `halt` was called no step begins any more. `upids` are the tasks of the step begun last,
    and `warning` is what they said although they went well.
    """

    def __init__(self, client: Client, jobs: Jobs, action: Action, halt: Halt) -> None:
        self.client = client
        self.jobs = jobs
        self.action = action
        self.node = action.node  # where it is now
        self.digest = action.digest  # None once it is out of date
        self.upids: list[str] = []
        self.warning = ""
        self.halt = halt
        self.read_back: Config | None = None  # after its last write, where somebody looked
        self._identity: str | None = None  # of the VM that was checked
        self._fingerprint = action.fingerprint  # of the configuration that the digest is of

    @property
    def vms(self) -> str:
        """The path of the node's VMs."""
        return f"/nodes/{self.node}/qemu"

    @property
    def vm(self) -> str:
        """The path of this VM."""
        return f"{self.vms}/{self.action.vmid}"

    @property
    def is_new(self) -> bool:
        """Whether the VM is made by this action, and marked until it is configured."""
        return self.action.verb in ("create", "finish", "replace")

    @property
    def is_left_to_cluster(self) -> bool:
        """Whether the last task (`hastart`, `hastop`) only told the cluster's HA what to do."""
        return any(upid.split(":")[5].startswith("ha") for upid in self.upids[-1:])

    def begin(self, step: Step) -> None:
        """Forget the tasks of the step before, and a configuration that this one may change."""
        self.upids = []
        self.warning = ""
        if not isinstance(step, Start):
            self.read_back = None

    def run(self, verb: str, begin: Callable[[], Any]) -> None:
        """Begin a task, and wait for its end.

        Raises:
            ProxmoxError: it was refused, or it failed.
        """

        def begin_and_note() -> Any:
            upid = begin()
            if isinstance(upid, str):
                self.upids.append(upid)
            return upid

        status = self.jobs.run(self.what(verb), begin_and_note)
        if status != "OK":
            self.warning = f"{status}, see its task on {self.node}"

    def put(self, path: str, digest: str, is_alone: IsAlone, **form: str | float | bool) -> Any:
        """Write the configuration or a part of it, which is the same if it is written twice.

        After a broken connection it is written again, unless the digest tells that it was applied;
        one that only this action works on, as `is_alone` tells, is written all the same.

        Raises:
            ProxmoxError: it was refused, or nobody knows whether it was applied.
        """
        found: Config | None = None
        left = _ATTEMPTS

        def is_as_before() -> bool:
            nonlocal found
            found = self.read()
            return found.digest == digest

        while True:
            try:
                return self.client.repeat("PUT", path, is_as_before, digest=digest, **form)
            except ProxmoxError:
                left -= 1
                if not left or found is None or found.digest == digest or not is_alone(found):
                    raise
                digest = str(found.digest)

    def read(self) -> Config:
        """Return the VM's configuration as it is now, with what waits for a restart.

        Raises:
            WorldMovedError: it is gone.
        """
        config = read_config(self.client, self.node, self.action.vmid)
        if config is None:
            raise self.moved("it is not there any more, or on another node")
        return config

    def check(self) -> None:
        """Refuse a VM that is not the one of the plan, and remember it.

        Raises:
            WorldMovedError: it has another configuration.
        """
        config = self.read()
        if config.digest != self.digest and not self.renew():
            raise self.changed()
        self._identity = config.identity

    def check_ours(self) -> None:
        """Refuse to remove a VM that is not the checked one any more, or was taken from us.

        A removal takes no digest, and a VMID that is free is soon given to somebody else's VM.

        Raises:
            WorldMovedError: it is another one, or has neither our tag nor our mark.
        """
        config = self.read()
        is_marked = config.values.get("description") == marker(str(config.name))
        is_leftover = isinstance(self.action.steps[0], Unlock) and config.name is None
        if config.identity != self._identity:
            raise self.moved("another VM has its VMID by now")
        if not (TAG in config.tags or is_marked or is_leftover):
            raise self.moved(f"its tag {TAG} was taken off")

    def fresh(self) -> Config:
        """Return the configuration as it is now, for a write that says its digest.

        Raises:
            WorldMovedError: a VM that is being made is not marked as ours any more.
        """
        config = self.read()
        if self.is_new and not self.is_being_made(config):
            raise self.moved("somebody else works on it")
        return self._take(config)

    def is_being_made(self, config: Config) -> bool:
        """Tell whether it is still marked as a VM that this action makes, and its alone."""
        is_marked = config.values.get("description") == marker(self.action.name)
        return self.is_new and is_marked and not config.lock

    def is_made(self, config: Config) -> bool:
        """Tell whether it is one that this action has made and configured."""
        return self.is_new and config.name == self.action.name and TAG in config.tags

    def renew(self) -> bool:
        """Take the digest of a configuration in which a lock alone came or went.

        Returns whether it is such a one.
        """
        config = read_config(self.client, self.node, self.action.vmid)
        if config is None or config.fingerprint != self._fingerprint:
            return False
        self.digest = config.digest
        return True

    def take_digest(self) -> str:
        """Return the digest for a write that makes it out of date, read where it is not known.

        Raises:
            WorldMovedError: a VM that this action has made and configured is not ours any more.
        """
        digest, self.digest = self.digest, None
        if digest is None:
            config = self._configured() if self.is_new else self.fresh()
            digest = str(config.digest)
        return digest

    def _configured(self) -> Config:
        """Read back what was configured: the look at the end then need not read it once more."""
        config = self.read()
        if not self.is_made(config):
            raise self.moved("another VM has its VMID by now")
        self.read_back = config
        return self._take(config)

    def _take(self, config: Config) -> Config:
        self._fingerprint = config.fingerprint
        return config

    def what(self, verb: str) -> str:
        """Name a task for people."""
        return f"{verb} of {self.action.name} (VM {self.action.vmid} on {self.node})"

    def changed(self) -> WorldMovedError:
        """Return the error of a VM whose configuration is not the one that was to be written."""
        if self.is_new:
            return self.moved("it changed while it was being made")
        return self.moved("it changed since the plan was made")

    def moved(self, why: str) -> WorldMovedError:
        """Return the error of a VM that is not as the plan found it."""
        return WorldMovedError(
            f"{self.action.name} (VM {self.action.vmid} on {self.node}) is left alone: "
            f"{why}, perhaps by another apply; plan again"
        )
