"""The devices of a VM that are more than one value, each named and keyed as in Proxmox's schema.

A field that is None leaves what is there, or Proxmox's own default. The keys that fill the fields
are in `stackyard.definitions.device_keys`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cpu:
    """The emulated CPU: `cpu_type` and `cpu_flags` of a definition."""

    type: str
    flags: tuple[str, ...] | None = None  # "+aes", "-pcid"


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine type, and what it emulates beside."""

    type: str | None = None
    viommu: str | None = None
    enable_s3: bool | None = None
    enable_s4: bool | None = None


@dataclass(frozen=True, slots=True)
class NumaNode:
    """One node of the guest's NUMA topology."""

    cpus: str | None = None  # "0-3;8"
    memory: float | None = None  # MiB
    hostnodes: str | None = None
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class EfiDisk:
    """Where OVMF keeps its variables; Proxmox gives it its size."""

    storage: str | None = None
    format: str | None = None
    efitype: str | None = None
    pre_enrolled_keys: bool | None = None
    ms_cert: str | None = None
    volume: str | None = None  # None: not made yet


@dataclass(frozen=True, slots=True)
class TpmState:
    """Where the TPM keeps its state; Proxmox gives it its size."""

    storage: str | None = None
    version: str | None = None
    volume: str | None = None  # None: not made yet


@dataclass(frozen=True, slots=True)
class Vga:
    """The display."""

    type: str | None = None
    memory: int | None = None  # MiB
    clipboard: str | None = None


@dataclass(frozen=True, slots=True)
class Pci:
    """A PCI device of the node, by its address (`host`) or by a mapping of the cluster."""

    host: str | None = None
    mapping: str | None = None
    pcie: bool | None = None
    rombar: bool | None = None
    romfile: str | None = None
    x_vga: bool | None = None
    legacy_igd: bool | None = None
    mdev: str | None = None
    vendor_id: str | None = None
    device_id: str | None = None
    sub_vendor_id: str | None = None
    sub_device_id: str | None = None


@dataclass(frozen=True, slots=True)
class Usb:
    """A USB device of the node, by its id or port (`host`) or by a mapping, or a SPICE channel."""

    host: str | None = None
    mapping: str | None = None
    usb3: bool | None = None


@dataclass(frozen=True, slots=True)
class Virtiofs:
    """A directory mapping of the cluster, shared with the guest."""

    dirid: str | None = None
    cache: str | None = None
    direct_io: bool | None = None
    expose_acl: bool | None = None
    expose_xattr: bool | None = None


@dataclass(frozen=True, slots=True)
class Startup:
    """The place in the node's start and shutdown order; delays in seconds."""

    order: int | None = None
    up: int | None = None
    down: int | None = None


@dataclass(frozen=True, slots=True)
class Watchdog:
    """A watchdog, and what happens when the guest does not feed it."""

    model: str | None = None
    action: str | None = None


@dataclass(frozen=True, slots=True)
class Rng:
    """A random number generator; at most `max_bytes` bytes each `period` milliseconds."""

    source: str | None = None
    max_bytes: int | None = None
    period: int | None = None


@dataclass(frozen=True, slots=True)
class CiCustom:
    """Snippets that replace cloud-init documents of Proxmox, as volumes."""

    meta: str | None = None
    network: str | None = None
    user: str | None = None
    vendor: str | None = None


@dataclass(frozen=True, slots=True)
class Ha:
    """A resource of high availability: given as a device is, but an object of the cluster."""

    state: str | None = None
    group: str | None = None
    max_restart: int | None = None
    max_relocate: int | None = None
    failback: bool | None = None
    comment: str | None = None


Device = (
    Cpu
    | Machine
    | NumaNode
    | EfiDisk
    | TpmState
    | Vga
    | Pci
    | Usb
    | Virtiofs
    | Startup
    | Watchdog
    | Rng
    | CiCustom
    | Ha
)
