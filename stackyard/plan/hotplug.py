"""Which changes reach a running VM at once: some always, some as far as its `hotplug` allows.

As Proxmox does it when it writes a running VM's configuration (qm.conf(5), `hotplug`); what it
cannot plug waits for the next start of QEMU.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from stackyard.definitions.model import Disk, Nic
from stackyard.plan.observed import Config
from stackyard.plan.values import Change, Value

DEFAULT = ("disk", "network", "usb")  # where the option is absent
# Options that reach a running VM whatever may be plugged.
_ALWAYS = frozenset({
    "name", "description", "tags", "pool", "onboot", "protection", "hookscript", "startup",
    "shares", "cpulimit", "cpuunits",
})  # fmt: skip
# Options of a disk that are read when QEMU starts: Proxmox keeps them pending until then, or writes
# them down at once.
_PENDING_OPTIONS = ("aio", "cache", "discard", "iothread", "ro", "ssd")
_COLD_OPTIONS = (*_PENDING_OPTIONS, "detect_zeroes", "serial")
# Options of a network card for which it is taken out and put in again.
_REPLUGGED = ("model", "mac", "queues", "mtu")
_USB_GUESTS = frozenset({"l26", "win8", "win10", "win11"})


def needs_restart(change: Change, config: Config) -> bool:
    """Tell whether a change of a running VM waits until QEMU or the guest starts again."""
    return _waits(change, config, _COLD_OPTIONS)


def stays_pending(change: Change, config: Config) -> bool:
    """Tell whether Proxmox itself keeps back what a running VM needs a restart for."""
    return _waits(change, config, _PENDING_OPTIONS)


def _waits(change: Change, config: Config, cold_options: tuple[str, ...]) -> bool:
    if change.key in config.pending:  # what counts is what runs
        change = replace(change, before=config.running.get(change.key))
    if change.before == change.after:
        return False  # it stays as it is, or what waits is taken back
    if isinstance(change.after, Disk) or isinstance(change.before, Disk):
        return _disk_waits(change.before, change.after, cold_options, _features(config))
    waits = _WAITS.get(change.key.rstrip("0123456789"))
    return waits(change, config) if waits else change.key not in _ALWAYS


def _in_force(key: str, config: Config) -> Value:
    """Return a value as the VM was started with it; a change of it may wait for the restart."""
    return (config.running if key in config.pending else config.values).get(key)


def _features(config: Config) -> tuple[str, ...]:
    found = _in_force("hotplug", config)
    return DEFAULT if found is None else _tuple(found)


def _tuple(value: Value) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else DEFAULT


def _disk_waits(
    before: Value, after: Value, cold_options: tuple[str, ...], features: tuple[str, ...]
) -> bool:
    if isinstance(before, Disk) and isinstance(after, Disk):
        return any(getattr(before, name) != getattr(after, name) for name in cold_options)
    slot = next(disk.slot for disk in (before, after) if isinstance(disk, Disk))
    return "disk" not in features or slot.startswith(("ide", "sata"))


def _card_waits(change: Change, config: Config) -> bool:
    before, after = change.before, change.after
    stays = isinstance(before, Nic) and isinstance(after, Nic)
    if stays and all(getattr(before, name) == getattr(after, name) for name in _REPLUGGED):
        return False
    return "network" not in _features(config)


def _usb_waits(_change: Change, config: Config) -> bool:
    return "usb" not in _features(config) or _in_force("ostype", config) not in _USB_GUESTS


def _tablet_waits(_change: Change, config: Config) -> bool:
    return "usb" not in _features(config)


def _memory_waits(change: Change, config: Config) -> bool:
    """Memory is plugged with NUMA; taking some out is up to the guest, which may keep it."""
    before, after = change.before, change.after
    is_plugged = "memory" in _features(config) and _in_force("numa", config) is True
    grows = isinstance(before, int) and isinstance(after, int) and before < after
    return not (is_plugged and grows)


def _balloon_waits(change: Change, _config: Config) -> bool:
    """The device itself is not plugged."""
    return (change.before == 0) != (change.after == 0)


def _hotplug_waits(change: Change, config: Config) -> bool:
    """Where CPUs or memory may be plugged, or are going to be, QEMU has to start anew for it."""
    return not {"cpu", "memory"}.isdisjoint((*_features(config), *_tuple(change.after)))


_WAITS: Mapping[str, Callable[[Change, Config], bool]] = {
    "net": _card_waits,
    "usb": _usb_waits,
    "tablet": _tablet_waits,
    "memory": _memory_waits,
    "balloon": _balloon_waits,
    "hotplug": _hotplug_waits,
}
