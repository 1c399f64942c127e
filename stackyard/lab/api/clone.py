"""Clones: linked and full, to another storage, to another node."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from stackyard.lab.api.call import Call
from stackyard.lab.api.faults import ApiError
from stackyard.lab.api.options import indexed
from stackyard.lab.api.tasks import Task
from stackyard.lab.api.vm import (
    Vm,
    format_size,
    is_cdrom,
    is_cloudinit,
    new_identity,
    print_drive,
    with_mac,
)
from stackyard.lab.api.volumes import CLOUDINIT_BYTES, Volume

_DROPPED = frozenset(("template", "lock", "parent"))
_TEMPORARY = " qmclone temporary file"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A clone's parameters, checked."""

    newid: int
    full: bool
    storage: str | None
    format: str | None
    target: str | None


async def clone(call: Call) -> str:
    """POST …/clone: the new VM exists at once, locked, and is filled by the worker."""
    _check(call)
    maker = _Maker(call)

    async def worker(task: Task) -> None:
        wanted = _check(call)
        await maker.make(task, wanted)

    return call.start_task("qmclone", worker)


def _check(call: Call) -> _Wanted:
    """Refuse what the server refuses, in its order; the worker checks again."""
    cluster, params = call.cluster, call.params
    source = cluster.findable(call.node, call.vmid)
    cluster.check_pool(params.get("pool"))
    target = _check_target(call)
    storage = params.get("storage")
    if storage:
        found = cluster.volumes.storage(storage, call.node)
        if target and not found.shared:
            raise ApiError(f"can't clone to non-shared storage '{storage}'")
    cluster.check_quorum()
    source.check_lock()
    full = call.flag("full", default=not source.template)
    _check_source(call, source, full=full)
    if target and not _shared(call, source):
        raise ApiError(f"can't clone VM to node '{target}' (VM uses local storage)")
    newid = int(params["newid"])
    cluster.check_no_container(newid)
    if newid in cluster.vms:
        raise ApiError(f"unable to create VM {newid}: config file already exists")
    return _Wanted(newid, full, storage, params.get("format"), target)


def _check_target(call: Call) -> str | None:
    """Return the node to clone to, None where that is the node of the path."""
    target = call.params.get("target")
    if target is None or target == call.node:
        return None
    call.cluster.check_target(target)
    return target


def _check_source(call: Call, source: Vm, *, full: bool) -> None:
    params = call.params
    if full:
        if "storage" in params:
            call.cluster.volumes.for_images(params["storage"], call.node)
        return
    for name in ("storage", "format"):
        if name in params:
            raise ApiError(f"parameter '{name}' not allowed for linked clones")
    disks = dict(source.disks())
    if disks and not source.template:
        slot, drive = next(iter(disks.items()))
        raise ApiError(f"Linked clone feature is not supported for '{drive['file']}' ({slot})")


def _shared(call: Call, source: Vm) -> bool:
    """Whether every drive of a VM is on a shared storage."""
    storages = call.cluster.volumes.storages
    names = {d["file"].partition(":")[0] for _, d in source.drives() if ":" in d["file"]}
    return all(name in storages and storages[name].shared for name in names)


class _Maker:
    """Makes one clone; takes everything back when it is stopped."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.cluster = call.cluster
        self.volumes = call.cluster.volumes

    async def make(self, task: Task, wanted: _Wanted) -> None:
        source = self.cluster.findable(self.call.node, self.call.vmid)
        new = Vm(wanted.newid, source.node, {"description": _TEMPORARY, "lock": "clone"})
        self.cluster.vms[new.vmid] = new
        task.log(f"creating a clone of VM {source.vmid} with ID {new.vmid}")
        async with self.cluster.locked(new):
            try:
                await self._fill(task, source, new, wanted)
            except (ApiError, asyncio.CancelledError):
                self.cluster.forget(new)
                raise
        new.node = wanted.target or new.node
        pool = self.call.params.get("pool")
        if pool:
            self.cluster.pools[pool].vmids.add(new.vmid)

    async def _fill(self, task: Task, source: Vm, new: Vm, wanted: _Wanted) -> None:
        config = dict(self._options(source))
        total = 0
        for slot, drive in source.drives():
            base = self.volumes.get(new.node, drive["file"])
            if base is None or base.content != "images":
                config[slot] = print_drive(drive)
                continue
            copy = self._copy(task, base, new, wanted)
            total += copy.size
            size = CLOUDINIT_BYTES if is_cloudinit(drive) else copy.size
            new_drive = drive | {"file": copy.volid, "size": format_size(size)}
            config[slot] = print_drive(new_drive)
            if not is_cdrom(drive):
                task.interrupted = self._interruption(base, copy)
        await asyncio.sleep(self._seconds(total, full=wanted.full))
        new.config = config
        new.changed()

    def _options(self, source: Vm) -> Iterator[tuple[str, str]]:
        params = self.call.params
        slots = {slot for slot, _ in source.drives()}
        identity = new_identity()
        label = source.config.get("name", str(source.vmid))
        given = {"name": params.get("name", f"Copy-of-VM-{label}")}
        if "description" in params:
            given["description"] = params["description"]
        for name, value in (source.config | identity | given).items():
            family = indexed(name)[0]
            if name in _DROPPED or name in slots or family == "unused":
                continue
            yield name, with_mac(value, fresh=True) if family == "net" else value

    def _copy(self, task: Task, base: Volume, new: Vm, wanted: _Wanted) -> Volume:
        storage = self.volumes.storages[wanted.storage or base.storage]
        if base.name.startswith(f"vm-{base.vmid}-cloudinit"):
            return self.volumes.allocate_cloudinit(new.node, storage, new.vmid)
        if not wanted.full:
            task.log(f"create linked clone of drive ({base.volid})")
            return self.volumes.link(new.node, base, new.vmid)
        task.log(f"create full clone of drive ({base.volid})")
        kind = wanted.format or base.format
        copy = self.volumes.allocate(new.node, storage, new.vmid, base.size, kind)
        task.log(f"allocated target volume '{copy.volid}'")
        return copy

    def _seconds(self, size: int, *, full: bool) -> float:
        if not full:
            return 0.0
        limit = self.call.number("bwlimit", 0) * 1024
        return max(self.cluster.platform.latency.clone, size / limit if limit else 0.0)

    def _interruption(self, base: Volume, copy: Volume) -> str:
        """Return the exit status of a clone that is stopped while it copies."""
        limit = self.call.params.get("bwlimit")
        command = (
            f"/usr/bin/qemu-img convert -p -n{f' -r {limit}K' if limit else ''} -f {base.format} "
            f"-O {copy.format} {self.volumes.path(base)} {self.volumes.path(copy)}"
        )
        return f"clone failed: copy failed: command '{command}' failed: interrupted by signal"
