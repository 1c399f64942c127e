"""What the tests of planning share: values from YAML, and a world in which plans come true.

`after` is a second, independent idea of what Proxmox makes of each step.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from stackyard.definitions.device_keys import FAMILY_OF
from stackyard.definitions.hardware import EfiDisk, Ha, TpmState
from stackyard.definitions.model import Definition, Disk, IpConfig, Nic, Source
from stackyard.fleet import Site
from stackyard.plan.observed import Config, Observed, ObservedVm, marker
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
    ManageHa,
    Migrate,
    MoveDisk,
    Plan,
    Reboot,
    Shutdown,
    Start,
    Value,
)
from stackyard.proxmox.wire import decode_pending

IMAGE_BYTES = 1 << 20  # of an image that a disk is imported from
HA_DEFAULTS = Ha(state="started", max_restart=1, max_relocate=1, failback=True)
UNITS = {"M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


SITE = Site(Path("inventory/site.yml"), {}, {})


def size_of(text: str) -> int:
    return int(text[:-1]) * UNITS[text[-1]]


def definition_of(plain: Mapping[str, Any]) -> Definition:
    values = dict(plain)
    disks = [dict(disk) for disk in values.pop("disks", [])]
    if "ha" in values:
        values["ha"] = Ha(**values["ha"])
    if "hotplug" in values:
        values["hotplug"] = tuple(values["hotplug"])
    for disk in disks:
        if "size" in disk:
            disk["size_bytes"] = size_of(disk.pop("size"))
    return Definition(
        disks=tuple(Disk(**disk) for disk in disks),
        networks=tuple(Nic(**nic) for nic in values.pop("networks", [])),
        ipconfigs=tuple(ip and IpConfig(**ip) for ip in values.pop("ipconfigs", [])),
        tags=tuple(values.pop("tags", [])),
        cpu_flags=tuple(values.pop("cpu_flags", ())) or None,
        devices={
            name: FAMILY_OF[name].model(**device)
            for name, device in values.pop("devices", {}).items()
        },
        source=Source(f"vms/{values['name']}.yaml"),
        **values,
    )


def observed_of(plain: Mapping[str, Any]) -> Observed:
    return Observed(dict(plain["nodes"]), tuple(_vm(vm) for vm in plain.get("vms", [])))


def _vm(plain: Mapping[str, Any]) -> ObservedVm:
    values = dict(plain)
    config = values.pop("config", None)
    pending = values.pop("pending", {})
    if "ha" in values:
        values["ha"] = replace(HA_DEFAULTS, **values["ha"])
    if config is not None:
        rows = [
            {"key": key}
            | ({"value": config[key]} if key in config else {})
            | ({"pending": pending[key]} if key in pending else {})
            for key in {**config, **pending}
        ]
        values["config"] = decode_pending([*rows, {"key": "digest", "value": "d" * 40}])
        tags = values["config"].values.get("tags", ())
        return ObservedVm(**{"tags": tags, **values})
    return ObservedVm(**values)


def after(plan: Plan, observed: Observed, stop_after: int | None = None) -> Observed:
    """Return the world after a plan, or after its first so many steps."""
    left = 10**6 if stop_after is None else stop_after
    for action in plan.actions:
        for step in action.steps[:left]:
            observed = _after_step(step, action, observed)
        left = max(0, left - len(action.steps))
    return observed


def _after_step(step: object, action: Action, observed: Observed) -> Observed:
    vm = next((vm for vm in observed.vms if vm.vmid == action.vmid), None)
    others = tuple(other for other in observed.vms if other is not vm)
    if isinstance(step, Clone | Create):
        assert vm is None, f"VM {action.vmid} is made twice"
        made = _cloned(step, action, observed) if isinstance(step, Clone) else _made(step, action)
        return replace(observed, vms=(*others, made))
    assert vm is not None
    if isinstance(step, Delete):
        assert vm.status == "stopped"
        return replace(observed, vms=others)
    changed = _kept_by_cluster(step, vm) if isinstance(step, ManageHa) else _changed(step, vm)
    return replace(observed, vms=(*others, changed))


def _cloned(step: Clone, action: Action, observed: Observed) -> ObservedVm:
    template = next(vm for vm in observed.vms if vm.vmid == step.template_vmid)
    assert template.template
    assert template.node == (action.target or action.node)
    assert template.config is not None
    values: dict[str, Value] = {**template.config.values, "name": action.name}
    values["description"] = marker(action.name)
    for key, value in values.items():
        if isinstance(value, Nic):
            values[key] = replace(value, mac="BC:24:11:00:00:01")
        if isinstance(value, Disk) and value.media in ("disk", "cloudinit"):
            storage = (step.storage or value.storage) if step.full else value.storage
            volume = f"{storage}:vm-{action.vmid}-{key}" if value.media == "disk" else None
            values[key] = replace(
                value, storage=storage, volume=volume, format=step.format or value.format
            )
    config = Config("1", values, template.config.keep)
    node = template.node
    return ObservedVm(action.vmid, node, action.name, tags=_tags(values), config=config)


def _made(step: Create, action: Action) -> ObservedVm:
    values = {change.key: _real(change) for change in step.changes}
    config = Config("1", values)
    node = action.target or action.node
    return ObservedVm(action.vmid, node, action.name, tags=_tags(values), config=config)


def _changed(step: object, vm: ObservedVm) -> ObservedVm:
    assert vm.config is not None
    if isinstance(step, Configure):
        return _configured(step, vm, vm.config)
    if isinstance(step, Grow | MoveDisk | Erase):
        is_cold = vm.status == "running" and step.slot in vm.config.pending
        assert not is_cold or isinstance(step, Erase), f"{step.slot} has a value that waits"
        return replace(vm, config=replace(vm.config, values=_disk_step(step, vm.config)))
    if isinstance(step, Migrate):
        return _migrated(step, vm, vm.config)
    if isinstance(step, MakeTemplate):
        assert vm.status == "stopped"
        return replace(vm, template=True)
    if isinstance(step, Start | Reboot):
        assert vm.status == ("stopped" if isinstance(step, Start) else "running")
        return replace(vm, status="running", config=replace(vm.config, pending=frozenset()))
    assert isinstance(step, Shutdown)
    assert vm.status == "running"
    return replace(vm, status="stopped", config=replace(vm.config, pending=frozenset()))


def _kept_by_cluster(step: ManageHa, vm: ObservedVm) -> ObservedVm:
    assert step.before == vm.ha
    config = vm.config or Config()
    if step.after is None:
        return replace(vm, ha=None)
    assert step.after.state in ("started", "stopped", "disabled", "ignored")
    assert not vm.template
    given = {f.name: v for f in fields(Ha) if (v := getattr(step.after, f.name)) is not None}
    status = {"started": "running", "ignored": vm.status}.get(step.after.state, "stopped")
    if status != vm.status:
        config = replace(config, pending=frozenset())
    kept: Any = {"ha": replace(HA_DEFAULTS, **given), "status": status, "config": config}
    return replace(vm, **kept)


def _configured(step: Configure, vm: ObservedVm, config: Config) -> ObservedVm:
    values = dict(config.values)
    for change in step.changes:
        if change.after is None:
            gone = values.pop(change.key, None)
            if isinstance(gone, Disk) and gone.media == "disk":
                values["unused0"] = str(gone.volume)
        else:
            values[change.key] = _real(change)
    drives = [v for v in values.values() if isinstance(v, Disk) and v.media == "cloudinit"]
    assert len(drives) <= 1, "two cloud-init drives"
    waits = {"memory", "cores", "cpu_type", "freeze"} & {change.key for change in step.changes}
    waits |= {change.key for change in step.changes if _is_cold(change)}
    plugged = config.values.get("hotplug")
    if isinstance(plugged, tuple) and "memory" in plugged and config.values.get("numa"):
        waits.discard("memory")
    back = {change.key for change in step.changes if change.after == config.running.get(change.key)}
    pending = (config.pending - back) | waits if vm.status == "running" else frozenset()
    config = replace(config, digest="2", values=values, pending=pending)
    return replace(vm, name=str(values["name"]), tags=_tags(values), config=config)


def _is_cold(change: Change) -> bool:
    before, after = change.before, change.after
    if isinstance(before, Disk) and isinstance(after, Disk):
        return (before.discard, before.ssd) != (after.discard, after.ssd)
    return isinstance(after, Disk) and change.key.startswith(("ide", "sata"))


def _disk_step(step: Grow | MoveDisk | Erase, config: Config) -> dict[str, Value]:
    disk = config.values[step.slot]
    assert isinstance(disk, Disk)
    if isinstance(step, Grow):
        assert disk.size_bytes is None or disk.size_bytes < step.size_bytes
        return {**config.values, step.slot: replace(disk, size_bytes=step.size_bytes)}
    if isinstance(step, Erase):
        assert step.disk.volume in (None, disk.volume), "another disk was erased"
        return {key: value for key, value in config.values.items() if key != step.slot}
    assert (disk.storage, disk.size_bytes) == (step.before, step.size_bytes)
    form = step.format or disk.format
    volume = f"{step.storage}:moved-{step.slot}"
    return {
        **config.values,
        step.slot: replace(disk, storage=step.storage, volume=volume, format=form),
    }


def _migrated(step: Migrate, vm: ObservedVm, config: Config) -> ObservedVm:
    assert (vm.node, step.online) == (step.source, vm.status == "running")
    assert not config.pending & config.disks().keys(), "what waits names a volume that moves"
    mapped = dict(pair.split(":") for pair in step.storages)
    values = dict(config.values)
    for slot, disk in config.disks().items():
        assert disk.media != "passthrough"
        if disk.media == "disk":
            storage = mapped.get(disk.storage or "", disk.storage)
            volume = f"{storage}:migrated-{slot}"
            values[slot] = replace(disk, storage=storage, volume=volume)
        elif disk.media == "cloudinit":
            values[slot] = replace(disk, storage=mapped.get(disk.storage or "", disk.storage))
    return replace(vm, node=step.target, config=replace(config, digest="3", values=values))


def _real(change: Change) -> Value:
    """Give a new disk its volume and a new interface its address; never replace a volume."""
    value = change.after
    if isinstance(value, Disk) and value.media == "disk":
        if isinstance(change.before, Disk):
            assert value.volume == change.before.volume, "a volume was replaced"
        elif value.volume is None:
            size = IMAGE_BYTES if value.import_from else value.size_bytes
            volume = f"{value.storage}:vm-{value.slot}"
            return replace(value, volume=volume, size_bytes=size, import_from=None)
    if isinstance(value, EfiDisk | TpmState) and value.volume is None:
        return replace(value, volume=f"{value.storage}:vm-{change.key}")
    if isinstance(value, Nic) and value.mac is None:
        return replace(value, mac="BC:24:11:00:00:02")
    return value


def _tags(values: Mapping[str, Value]) -> tuple[str, ...]:
    tags = values.get("tags", ())
    return tags if isinstance(tags, tuple) else ()
