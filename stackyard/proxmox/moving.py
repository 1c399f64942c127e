"""Steps on disks, and the move to another node."""

from typing import Any

from stackyard.definitions.model import Disk
from stackyard.plan.values import Erase, Grow, Migrate, MoveDisk
from stackyard.proxmox import properties, wire
from stackyard.proxmox.errand import Errand
from stackyard.proxmox.errors import TaskError
from stackyard.proxmox.pauses import comes_true

MOVE_SECONDS = 600.0  # for the cluster to move a VM that it was asked to


def grow(errand: Errand, step: Grow) -> None:
    """Enlarge a disk."""
    size, digest = properties.size(step.size_bytes), errand.take_digest()
    path, form = f"{errand.vm}/resize", {"disk": step.slot, "size": size}
    errand.run("resize", lambda: errand.put(path, digest, errand.is_made, **form))
    if errand.read_back:
        errand.read_back = errand.read_back.with_size(step.slot, step.size_bytes)


def move_disk(errand: Errand, step: MoveDisk) -> None:
    """Copy a disk; the source is deleted once the copy has taken its place."""
    digest = errand.take_digest()
    form = {"format": step.format} if step.format else {}
    errand.run(
        "disk move",
        lambda: errand.client.post(
            f"{errand.vm}/move_disk",
            disk=step.slot,
            storage=step.storage,
            delete=True,
            digest=digest,
            **form,
        ),
    )
    errand.read_back = None  # it has another volume by now


def erase(errand: Errand, step: Erase) -> None:
    """Delete a disk that is still the one of the plan; without `force` Proxmox keeps it.

    Raises:
        WorldMovedError: something else is in the slot.
    """
    config: dict[str, Any] = errand.client.get(f"{errand.vm}/config")
    slot = wire.decode(step.slot, config.get(step.slot, ""))
    there = slot[1][0] if slot else None
    is_old = errand.digest is not None and config["digest"] != errand.digest
    volume = there.volume if isinstance(there, Disk) else None
    # Of a clone that this plan makes the volume is not known before.
    if is_old or volume is None or step.disk.volume not in (None, volume):
        raise errand.moved(f"{step.slot} changed since the plan was made")
    errand.digest = None
    form = {"delete": step.slot, "force": True, "digest": config["digest"]}
    # A large volume is gone only after minutes on some storages: a task has the time.
    errand.run("disk removal", lambda: errand.client.post(f"{errand.vm}/config", **form))


def migrate(errand: Errand, step: Migrate) -> None:
    """Move the VM; from then on its paths are those of the other node."""
    form: dict[str, str | bool] = {"target": step.target}
    if step.online:
        form |= {"online": True, "with-local-disks": True}
    if step.storages:
        form["targetstorage"] = ",".join(step.storages)
    errand.run("migration", lambda: errand.client.post(f"{errand.vm}/migrate", **form))
    errand.node, errand.digest = step.target, None
    if errand.is_left_to_cluster:
        _arrive(errand)


def _arrive(errand: Errand) -> None:
    """Wait until the VM is on its node: the task only asked the cluster's HA to move it."""

    def is_there() -> bool:
        return any(row["vmid"] == errand.action.vmid for row in errand.client.get(errand.vms))

    if not comes_true(is_there, MOVE_SECONDS, errand.jobs.pause):
        raise TaskError(errand.what("migration"), f"the VM has not come to {errand.node}")
