"""The VM model: what a definition file says once it is read and checked.

Ground floor of the package. Every other room speaks in these values; nothing here knows Proxmox's
wire format, a file system or Ansible. Sizes are bytes, memory is MiB, as the field names say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from stackyard.definitions.document import Problem
from stackyard.definitions.hardware import Device, Ha

DiskMedia = Literal["disk", "cloudinit", "iso", "passthrough"]
PowerState = Literal["running", "stopped"]


@dataclass(frozen=True, slots=True)
class Reference:
    """A value that lives elsewhere: in an environment variable (`{env: NAME}`)."""

    env: str


@dataclass(frozen=True, slots=True)
class VaultReference:
    """A value that lives in a KV store of Vault (`{vault: "kv/path/of/secret#KEY"}`)."""

    vault: str  # mount, path, and the key after #


@dataclass(frozen=True, slots=True)
class Disk:
    """What is in one slot of a VM's storage controllers."""

    slot: str  # scsi0..30, virtio0..15, sata0..5, ide0..3
    media: DiskMedia
    storage: str | None = None  # of disk and cloudinit
    size_bytes: int | None = None  # of disk
    format: str | None = None  # raw, qcow2 or vmdk; None: the storage's own
    volume: str | None = None  # of iso ("local:iso/talos.iso", or "none") and passthrough (a path)
    import_from: str | None = None  # of a new disk: the image it is a copy of
    aio: str | None = None  # None, here and below: what is there, or Proxmox's default
    backup: bool | None = None
    cache: str | None = None
    detect_zeroes: bool | None = None
    discard: bool | None = None
    iothread: bool | None = None
    replicate: bool | None = None
    ro: bool | None = None
    serial: str | None = None
    ssd: bool | None = None
    mbps: float | None = None  # MB/s
    mbps_rd: float | None = None
    mbps_wr: float | None = None
    mbps_max: float | None = None
    mbps_rd_max: float | None = None
    mbps_wr_max: float | None = None
    bps_max_length: int | None = None  # seconds
    bps_rd_max_length: int | None = None
    bps_wr_max_length: int | None = None
    iops: int | None = None  # operations a second
    iops_rd: int | None = None
    iops_wr: int | None = None
    iops_max: int | None = None
    iops_rd_max: int | None = None
    iops_wr_max: int | None = None
    iops_max_length: int | None = None  # seconds
    iops_rd_max_length: int | None = None
    iops_wr_max_length: int | None = None


@dataclass(frozen=True, slots=True)
class Nic:
    """One network interface; its place in `Definition.networks` is its number."""

    bridge: str
    model: str = "virtio"
    firewall: bool = False
    mac: str | None = None  # upper case; None: Proxmox makes one and keeps it
    vlan: int | None = None
    mtu: int | None = None
    trunks: str | None = None  # "10;20-29"; None, here and below: what is there, or the default
    rate: float | None = None  # MB/s
    queues: int | None = None
    link_down: bool | None = None


@dataclass(frozen=True, slots=True)
class IpConfig:
    """Cloud-init addressing of the interface of the same number."""

    ip: str | None = None  # "192.168.1.20/24" or "dhcp"
    gw: str | None = None
    ip6: str | None = None  # CIDR, "dhcp" or "auto"
    gw6: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a definition was read: the file, the line of each of its top-level keys."""

    path: str
    lines: Mapping[str, int] = field(default_factory=dict)
    given: frozenset[str] = frozenset()  # the fields that the file or the defaults give
    defaults: "Source | None" = None  # where what it inherits was read

    def at(self, key: str = "name") -> str:
        """Return `file:line` of a key, in the defaults where it is inherited.

        Where the key is in neither, it is the file's first line.
        """
        path, line = self.place(key)
        return f"{path}:{line}"

    def problem(self, key: str, sentence: str) -> Problem:
        """Return a mistake of a key, at the place that `at` names."""
        return Problem(*self.place(key), sentence)

    def place(self, key: str) -> tuple[str, int]:
        """Return the file and the line that `at` names."""
        inherited = self.defaults.lines if self.defaults else {}
        if self.defaults and key not in self.lines and key in inherited:
            return self.defaults.path, inherited[key]
        return self.path, self.lines.get(key, 1)


@dataclass(frozen=True, slots=True)
class Definition:
    """One wanted VM. None means: leave what is there, or Proxmox's own default."""

    name: str
    target_node: str
    source: Source = field(compare=False)
    cores: int = 1
    sockets: int = 1
    cpu_type: str = "host"
    cpu_flags: tuple[str, ...] | None = None
    cpulimit: float | None = None  # cores
    cpuunits: int | None = None
    affinity: str | None = None
    numa: bool | None = None
    hotplug: tuple[str, ...] | None = None  # empty: nothing
    memory_mib: int = 1024
    balloon_mib: int | None = None
    shares: int | None = None
    hugepages: str | None = None
    onboot: bool = True
    clone: str | None = None
    full_clone: bool = False
    boot: str | None = None
    bios: str | None = None
    ostype: str | None = None
    acpi: bool | None = None
    kvm: bool | None = None
    tablet: bool | None = None
    agent: bool = False
    vm_state: PowerState | None = None
    scsihw: str | None = None
    hookscript: str | None = None
    define_connection_info: bool = True
    automatic_reboot: bool = True
    args: str | None = None
    template: bool = False
    protection: bool | None = None
    disks: tuple[Disk, ...] = ()  # ordered by slot
    networks: tuple[Nic, ...] = ()
    ipconfigs: tuple[IpConfig | None, ...] = ()
    serials: tuple[str | None, ...] = ()  # by number: "socket" or a device of the node
    devices: Mapping[str, Device] = field(default_factory=dict)  # by key of Proxmox: vga, usb0
    ha: Ha | None = None
    ciuser: str | None = None
    cipassword: Reference | VaultReference | None = None
    sshkeys: str | Reference | None = None  # one key a line, no trailing newline
    nameserver: str | None = None
    searchdomain: str | None = None
    ciupgrade: bool | None = None
    skip_ipv6: bool = False
    serial: bool = False
    vmid: int | None = None
    tags: tuple[str, ...] = ()  # lower case, sorted
    pool: str | None = None
    description: str | None = None
    managed: bool = True
    groups: tuple[str, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
