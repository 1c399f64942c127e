"""One VM as the cluster keeps it: its configuration, what is pending, its locks and its digest."""

import asyncio
import hashlib
import re
import secrets
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from stackyard.lab.api import formats
from stackyard.lab.api.devices import NET
from stackyard.lab.api.faults import ApiError
from stackyard.lab.api.options import DISK_SLOTS, drive_table, indexed, rule_of
from stackyard.lab.api.values import split_list

Properties = dict[str, str]
GIB = 1024**3
MIB = 1024**2
HIDDEN = "**********"
_DEFAULT_MEMORY_MIB = 512


@dataclass
class Vm:
    """A VM's state; what changes it calls `changed`, which gives it a new digest."""

    vmid: int
    node: str
    config: dict[str, str] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)
    pending_delete: dict[str, bool] = field(default_factory=dict)  # True: with the disk itself
    written: dict[str, str] = field(default_factory=dict)  # cloud-init options on the drive
    started: float | None = None  # when, by the clock; None: not started, or seen to be off
    paused: bool = False
    flock: asyncio.Lock = field(default_factory=asyncio.Lock)  # the lock file workers hold
    _digest: str = ""

    @property
    def lock(self) -> str:
        return self.config.get("lock", "")

    @property
    def template(self) -> bool:
        return self.config.get("template") == "1"

    @property
    def label(self) -> str:
        """The name that lists show."""
        return self.config.get("name", f"VM {self.vmid}")

    @property
    def wanted(self) -> dict[str, str]:
        """The configuration once all that is pending is applied."""
        kept = {k: v for k, v in self.config.items() if k not in self.pending_delete}
        return kept | self.pending

    @property
    def digest(self) -> str:
        """The SHA-1 of the configuration file, as in /etc/pve."""
        if not self._digest:
            text = "".join(f"{k}: {v}\n" for k, v in sorted(self.config.items()))
            if self.pending or self.pending_delete:
                text += "[PENDING]\n" + "".join(
                    f"{k}: {v}\n" for k, v in sorted(self.pending.items())
                )
                gone = ("!" * forced + k for k, forced in sorted(self.pending_delete.items()))
                text += f"delete: {','.join(gone)}\n"
            self._digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        return self._digest

    def changed(self) -> None:
        self._digest = ""

    def check_lock(self, *, skip: bool = False) -> None:
        """Refuse while the VM is locked by a clone, a backup and the like."""
        if self.lock and not skip:
            raise ApiError(f"VM is locked ({self.lock})")

    def check_digest(self, digest: str | None) -> None:
        """Refuse a write by somebody who has not seen the last one."""
        if digest and digest != self.digest:
            raise ApiError("checksum mismatch (file change by other user?)")

    def number(self, name: str, default: int) -> int:
        return int(self.config.get(name, default))

    @property
    def memory_bytes(self) -> int:
        text = self.config.get("memory", str(_DEFAULT_MEMORY_MIB))
        return int(text.removeprefix("current=")) * MIB

    @property
    def threads(self) -> int:
        return self.number("cores", 1) * self.number("sockets", 1)

    @property
    def agent_enabled(self) -> bool:
        text = self.config.get("agent", "0")
        agent = formats.split(text, {"enabled": formats.Rule("boolean", default_key=True)})
        return agent.get("enabled") == "1"

    def drives(self) -> Iterator[tuple[str, Properties]]:
        """Yield each disk and CD drive in the order of slots."""
        for slot in (*DISK_SLOTS, "efidisk0", "tpmstate0"):
            if slot in self.config:
                yield slot, parse_drive(slot, self.config[slot])

    def disks(self) -> Iterator[tuple[str, Properties]]:
        """Yield each disk that is no CD drive."""
        return ((slot, drive) for slot, drive in self.drives() if not is_cdrom(drive))

    def unused(self) -> Iterator[tuple[str, Properties]]:
        for name, value in self.config.items():
            if indexed(name)[0] == "unused":
                yield name, parse_drive(name, value)

    def cloudinit_slot(self) -> str | None:
        return next((slot for slot, drive in self.drives() if is_cloudinit(drive)), None)

    def nets(self) -> Iterator[tuple[int, Properties]]:
        """Yield each network card's number and properties, in order."""
        numbers = sorted(n for family, n in map(indexed, self.config) if family == "net")
        for number in numbers:
            yield number, formats.split(self.config[f"net{number}"], NET)


def parse_drive(slot: str, text: str) -> Properties:
    """Take a drive's property string apart; it has been checked already."""
    return formats.split(text, drive_table(slot) or {})


def print_drive(drive: Mapping[str, str]) -> str:
    """Write a drive's property string as the server does: the volume, then the rest by name."""
    rest = (f"{key}={drive[key]}" for key in sorted(drive) if key != "file")
    return ",".join([drive["file"], *rest])


def is_cdrom(drive: Mapping[str, str]) -> bool:
    return drive.get("media") == "cdrom"


def is_cloudinit(drive: Mapping[str, str]) -> bool:
    return bool(re.search(r"[:/]vm-\d+-cloudinit", drive["file"]))


def print_net(net: Mapping[str, str]) -> str:
    """Write a network card's property string: `model=MAC`, then the rest by name."""
    rest = (f"{key}={net[key]}" for key in sorted(net) if key not in ("model", "macaddr"))
    return ",".join([f"{net['model']}={net['macaddr']}", *rest])


def with_mac(text: str, *, fresh: bool = False) -> str:
    """Return a card's property string with a MAC address, a new one where it has none."""
    net = formats.split(text, NET)
    if fresh or "macaddr" not in net:
        net["macaddr"] = new_mac()
    net["macaddr"] = net["macaddr"].upper()
    return print_net(net)


def new_mac() -> str:
    """Return a MAC address with Proxmox's prefix."""
    return "BC:24:11:" + ":".join(f"{byte:02X}" for byte in secrets.token_bytes(3))


def new_identity() -> dict[str, str]:
    """Return what makes a VM unlike any other: its SMBIOS UUID and its generation id."""
    return {"smbios1": f"uuid={uuid.uuid4()}", "vmgenid": str(uuid.uuid4())}


def creation_meta() -> str:
    return f"creation-qemu=10.1.2,ctime={int(time.time())}"


def typed(name: str, value: str) -> str | int | float:
    """Return a configuration value as JSON shows it: numbers and flags are numbers."""
    rule = rule_of(name)
    kind = rule.type if rule else "string"
    if kind in ("integer", "boolean"):
        return int(value)
    if kind == "number":
        return float(value) if "." in value else int(value)
    return HIDDEN if name == "cipassword" else value


def normal_tags(value: str) -> str:
    """Return tags as the server keeps them: lower case, sorted, each once."""
    return ";".join(sorted(set(split_list(value.lower()))))


_UNITS = (("T", 1024**4), ("G", GIB), ("M", MIB), ("K", 1024))


def parse_size(text: str) -> int:
    """Return the bytes of a size such as `4.5G`; no unit means bytes."""
    for unit, factor in _UNITS:
        if text.endswith(unit):
            return int(float(text[:-1]) * factor)
    return int(float(text))


def format_size(size: int) -> str:
    """Return a size as drives show it: the largest unit that divides it."""
    for unit, factor in _UNITS:
        if size >= factor and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)
