"""The one table of keys: what may stand in a definition, of what type, in what range.

Validation, the JSON Schema for editors and the reference in docs/ are all made from it. Ranges and
formats are those of Proxmox's own API schema, so that what Proxmox would refuse is refused here.
"""

from dataclasses import dataclass
from typing import Any, Literal

Type = Literal["string", "integer", "boolean", "switch", "any", "list", "map", "keys"]
REQUIRED: Any = ...


@dataclass(frozen=True, slots=True)
class Key:
    """One key: `switch` is a boolean that may also be written 0 or 1; `keys` are ssh keys."""

    name: str
    type: Type
    help: str
    default: Any = None
    field: str = ""  # the model's name where it differs
    minimum: int | None = None
    maximum: int | None = None
    pattern: str | None = None
    form: str | None = None  # the pattern in words, for the sentence
    choices: tuple[str, ...] = ()


LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
NAME = rf"{LABEL}(\.{LABEL})*"

CONFIG_ID = r"[A-Za-z][A-Za-z0-9_.-]*"
SIZE = r"\d+(\.\d+)?[KMGT]?"
SLOT = r"(scsi([12]?\d|30)|virtio(1[0-5]|\d)|sata[0-5]|ide[0-3])"
NIC_MODELS = (
    "e1000", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e", "i82551", "i82557b",
    "i82559er", "ne2k_isa", "ne2k_pci", "pcnet", "rtl8139", "virtio", "vmxnet3",
)  # fmt: skip
SCSI_HARDWARE = (
    "lsi", "lsi53c810", "virtio-scsi-pci", "virtio-scsi-single", "megasas", "pvscsi",
)  # fmt: skip

VM_KEYS = (
    Key("name", "string", "Name of the VM and of the host.", REQUIRED,
        pattern=NAME, form="a DNS name"),
    Key("target_node", "string", "Proxmox node it lives on.", REQUIRED,
        pattern=r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?", form="a node's name"),
    Key("managed", "boolean", "false: in the inventory only, never planned or touched.", True),
    Key("vmid", "integer", "VMID; without it one is derived from the name.",
        minimum=100, maximum=999999999),
    Key("description", "string", "Notes shown in Proxmox."),
    Key("tags", "list", "Tags in Proxmox and groups in the inventory.",
        pattern=r"[A-Za-z0-9_][A-Za-z0-9_+.-]*", form="a tag"),
    Key("cores", "integer", "CPU cores of each socket.", 1, minimum=1),
    Key("sockets", "integer", "CPU sockets.", 1, minimum=1),
    Key("cpu_type", "string", "Emulated CPU.", "host",
        pattern=r"[A-Za-z0-9][A-Za-z0-9_.-]*", form="a CPU type"),
    Key("numa", "switch", "NUMA."),
    Key("memory", "integer", "Memory in MiB.", 1024, field="memory_mib", minimum=16),
    Key("balloon", "integer", "Least memory in MiB when ballooning; 0 switches it off.",
        field="balloon_mib", minimum=0),
    Key("onboot", "switch", "Start with the node.", True),
    Key("vm_state", "string", "Wanted power state; without it the power is left as it is.",
        choices=("running", "stopped")),
    Key("clone", "string", "Template to clone, by name; null: made from nothing.",
        pattern=NAME, form="a template's name"),
    Key("full_clone", "switch", "A full instead of a linked clone.", False),
    Key("template", "switch", "Turn the VM into a template.", False),
    Key("protection", "switch", "Protect the VM and its disks from removal."),
    Key("boot", "string", "Boot order, as `order=scsi0;net0`.",
        pattern=r"(legacy=)?[acdn]{1,4}|order=[a-z0-9]+(;[a-z0-9]+)*", form="a boot order"),
    Key("agent", "switch", "The QEMU guest agent runs in the VM.", False),
    Key("machine", "string", "Machine type.",
        pattern=r"[a-z0-9][A-Za-z0-9_.+-]*(,[A-Za-z0-9_.=+-]+)*", form="a machine type"),
    Key("scsihw", "string", "SCSI controller.", choices=SCSI_HARDWARE),
    Key("serial", "switch", "A serial port, `serial0: socket`.", False),
    Key("args", "string", "Raw QEMU arguments; Proxmox takes them from root alone."),
    Key("automatic_reboot", "boolean", "A change may restart the VM.", True),
    Key("define_connection_info", "boolean", "Put connection variables into the inventory.", True),
    Key("ciuser", "string", "Cloud-init: the user, and the inventory's ansible_user.",
        pattern=r"[a-z_][a-z0-9_.-]*\$?", form="a user name"),
    Key("sshkeys", "keys", "Cloud-init: public ssh keys, or `{env: NAME}`."),
    Key("nameserver", "string", "Cloud-init: DNS servers."),
    Key("searchdomain", "string", "Cloud-init: DNS search domain."),
    Key("skip_ipv6", "boolean", "Do not look for an IPv6 address.", False),
    Key("groups", "list", "More Ansible groups.",
        pattern=r"[A-Za-z_][A-Za-z0-9_]*", form="a group's name"),
    Key("variables", "map", "Ansible variables of the host; never evaluated here."),
)  # fmt: skip

DISK_KEYS = (
    Key("storage", "string", "Storage.", pattern=CONFIG_ID, form="a storage's name"),
    Key("size", "string", "Size: a number with K, M, G or T.", pattern=SIZE, form="a size as 50G"),
    Key("format", "string", "Format of the image.", choices=("raw", "qcow2", "vmdk")),
    Key("backup", "switch", "Part of backups."),
    Key("cache", "string", "Cache mode.",
        choices=("none", "writethrough", "writeback", "unsafe", "directsync")),
    Key("discard", "switch", "Pass discards on to the storage."),
    Key("iothread", "switch", "A thread of its own for I/O."),
    Key("replicate", "switch", "Part of replication jobs."),
    Key("ssd", "switch", "Shown to the guest as an SSD."),
)  # fmt: skip

FLAT_DISK_KEYS = (
    Key("slot", "string", "Slot on a controller.", REQUIRED, pattern=SLOT,
        form="a slot: scsi0-30, virtio0-15, sata0-5 or ide0-3"),
    Key("type", "string", "What is in it.", "disk",
        choices=("disk", "cdrom", "cloudinit", "passthrough")),
    Key("cloudinit", "switch", "A cdrom with the cloud-init data.", False),
    Key("iso", "string", "A cdrom with this image, as `local:iso/talos.iso`."),
    Key("file", "string", "Passthrough: the device's path."),
    *DISK_KEYS,
)  # fmt: skip

NIC_KEYS = (
    Key("bridge", "string", "Bridge of the node.", REQUIRED,
        pattern=r"[A-Za-z0-9][A-Za-z0-9_.-]*", form="a bridge's name"),
    Key("model", "string", "Emulated card.", "virtio", choices=NIC_MODELS),
    Key("firewall", "switch", "Proxmox's firewall.", False),
    Key("mac", "string", "MAC address; without it Proxmox makes one.",
        pattern=r"[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}", form="a unicast MAC address"),
    Key("vlan", "integer", "VLAN tag.", minimum=1, maximum=4094),
    Key("mtu", "integer", "MTU; 1 takes the bridge's.", minimum=1, maximum=65520),
)  # fmt: skip
