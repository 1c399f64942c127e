"""The one table of keys: what may stand in a definition, of what type, in what range.

Validation, the JSON Schema for editors and the reference in docs/ are all made from it. Ranges and
formats are those of Proxmox's own API schema, so that what Proxmox would refuse is refused here.
"""

from dataclasses import dataclass
from typing import Any, Literal

Type = Literal[
    "string", "integer", "number", "boolean", "switch", "list", "map",
    "keys", "secret", "addresses", "ranges",
]  # fmt: skip
REQUIRED: Any = ...


@dataclass(frozen=True, slots=True)
class Key:
    """One key: `switch` is a boolean that may also be written 0 or 1; `keys` are ssh keys.

    `ranges` are numbers and ranges of them (`0-3;8`), `addresses` IP addresses, `secret` is the
    name of a place that holds it.
    """

    name: str
    type: Type
    help: str
    default: Any = None
    field: str = ""  # the model's name where it differs
    option: str = ""  # Proxmox's name where it differs
    minimum: int | None = None
    maximum: int | None = None
    pattern: str | None = None
    form: str | None = None  # the pattern in words, for the sentence
    choices: tuple[str, ...] = ()
    longest: int | None = None  # characters
    lines: bool = False  # a text may have several

    @property
    def attribute(self) -> str:
        """The name of the model's field."""
        return self.field or self.name.replace("-", "_")


LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
NAME = rf"{LABEL}(\.{LABEL})*"
LONGEST_NAME = 253  # characters of a DNS name, whose labels have 63 at most

CONFIG_ID = r"[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]"
# In property strings , and = have a meaning; a file's name may have blanks inside.
_FILE = r"[^\s,=]([^\n,=]*[^\s,=])?"
VOLUME = rf"{CONFIG_ID}:{_FILE}"
SNIPPET = rf"{CONFIG_ID}:snippets/{_FILE}"
SIZE = r"\d{1,15}(\.\d+)?[KMGT]?"
SLOT = r"(scsi([12]?\d|30)|virtio(1[0-5]|\d)|sata[0-5]|ide[0-3])"
BOOT_DEVICE = rf"({SLOT}|net([12]?\d|3[01])|usb(1[0-3]|\d)|hostpci(1[0-5]|\d))"
NIC_MODELS = (
    "e1000", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e", "i82551", "i82557b",
    "i82559er", "ne2k_isa", "ne2k_pci", "pcnet", "rtl8139", "virtio", "vmxnet3",
)  # fmt: skip
SCSI_HARDWARE = (
    "lsi", "lsi53c810", "virtio-scsi-pci", "virtio-scsi-single", "megasas", "pvscsi",
)  # fmt: skip
# Proxmox lets a VM change these flags alone; a custom CPU model may change any.
CPU_FLAGS = (
    "aes", "amd-no-ssb", "amd-ssbd", "hv-evmcs", "hv-tlbflush", "ibpb", "md-clear", "nested-virt",
    "pcid", "pdpe1gb", "spec-ctrl", "ssbd", "virt-ssbd",
)  # fmt: skip
OS_TYPES = (
    "other", "wxp", "w2k", "w2k3", "w2k8", "wvista", "win7", "win8", "win10", "win11", "l24", "l26",
    "solaris",
)  # fmt: skip

VM_KEYS = (
    Key("name", "string", "Name of the VM and of the host.", REQUIRED,
        pattern=NAME, form="a DNS name", longest=LONGEST_NAME),
    Key("target_node", "string", "Proxmox node it lives on.", REQUIRED,
        pattern=r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?", form="a node's name"),
    Key("managed", "boolean", "false: in the inventory only, never planned or touched.", True),
    Key("vmid", "integer", "VMID; without it one is derived from the name.",
        minimum=100, maximum=999999999),
    Key("description", "string", "Notes shown in Proxmox.", longest=8192, lines=True),
    Key("tags", "list", "Tags in Proxmox and groups in the inventory.",
        pattern=r"[A-Za-z0-9_][A-Za-z0-9_+.-]*", form="a tag of letters, digits, _, +, . and -"),
    Key("pool", "string", "Resource pool, which has to exist.",
        pattern=r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+){0,2}", form="a pool's name"),
    Key("cores", "integer", "CPU cores of each socket.", 1, minimum=1),
    Key("sockets", "integer", "CPU sockets.", 1, minimum=1),
    Key("cpu_type", "string", "Emulated CPU.", "host", option="cpu",
        pattern=r"[A-Za-z0-9][A-Za-z0-9_.-]*", form="a CPU type"),
    Key("cpu_flags", "list",
        "CPU flags switched on (`+aes`) or off (`-pcid`); an empty list: none.", option="cpu",
        choices=tuple(sign + flag for flag in CPU_FLAGS for sign in "+-"),
        form="a flag as `+aes`: " + ", ".join(f"`{flag}`" for flag in CPU_FLAGS)),
    Key("cpulimit", "number", "Most CPU time, in cores; 0: no limit.", minimum=0, maximum=128),
    Key("cpuunits", "integer", "Share of CPU time against other VMs; more than 10000 is 10000.",
        minimum=1, maximum=262144),
    Key("affinity", "ranges", "Host CPUs it may run on, as `0-3,8`; root alone may set it.",
        minimum=0, form="numbers and ranges with commas, as 0-3,8", pattern=","),
    Key("numa", "switch", "NUMA; hotplug of memory needs it."),
    Key("hotplug", "list", "What may be plugged while it runs; an empty list: nothing.",
        choices=("network", "disk", "usb", "memory", "cpu", "cloudinit")),
    Key("memory", "integer", "Memory in MiB.", 1024, field="memory_mib", minimum=16),
    Key("balloon", "integer", "Least memory in MiB when ballooning; 0 switches it off.",
        field="balloon_mib", minimum=0),
    Key("shares", "integer", "Share of memory against other ballooning VMs.",
        minimum=0, maximum=50000),
    Key("hugepages", "string", "Huge pages, in MiB; root alone may set it.",
        choices=("any", "2", "1024")),
    Key("onboot", "switch", "Start with the node.", True),
    Key("vm_state", "string", "Wanted power state; without it the power is left as it is.",
        choices=("running", "stopped")),
    Key("clone", "string", "Template to clone, by name; null: made from nothing.",
        pattern=NAME, form="a template's name", longest=LONGEST_NAME),
    Key("full_clone", "switch", "A full instead of a linked clone.", False),
    Key("template", "switch", "Turn the VM into a template.", False),
    Key("protection", "switch", "Protect the VM and its disks from removal."),
    Key("boot", "string", "Boot order.",
        pattern=rf"(legacy=)?[acdn]{{1,4}}|order={BOOT_DEVICE}(;{BOOT_DEVICE})*",
        form="a boot order as order=scsi0;net0"),
    Key("bios", "string", "Firmware; ovmf wants an efidisk0.", choices=("seabios", "ovmf")),
    Key("ostype", "string", "Guest system.", choices=OS_TYPES),
    Key("acpi", "switch", "ACPI."),
    Key("kvm", "switch", "Hardware virtualization."),
    Key("tablet", "switch", "USB tablet as pointer."),
    Key("agent", "switch", "The QEMU guest agent runs in the VM.", False),
    Key("scsihw", "string", "SCSI controller.", choices=SCSI_HARDWARE),
    Key("serial", "switch", "A serial port, the same as `serial0: socket`.", False),
    Key("hookscript", "string", "Script run at each start and stop; root alone may set it.",
        pattern=SNIPPET, form="a volume as local:snippets/hook.pl"),
    Key("args", "string", "Raw QEMU arguments; Proxmox takes them from root alone.",
        pattern=r"(\S(.*\S)?)?", form="arguments without blanks around them"),
    Key("automatic_reboot", "boolean", "A change may restart the VM.", True),
    Key("define_connection_info", "boolean", "Put connection variables into the inventory.", True),
    Key("ciuser", "string", "Cloud-init: the user, and the inventory's ansible_user.",
        pattern=r"[A-Za-z_][A-Za-z0-9_.@\\-]*\$?", form="a user name"),
    Key("cipassword", "secret", "Cloud-init: the user's password, by reference alone."),
    Key("sshkeys", "keys", "Cloud-init: public ssh keys, or `{env: NAME}`."),
    Key("nameserver", "addresses", "Cloud-init: DNS servers."),
    Key("searchdomain", "string", "Cloud-init: DNS search domains.",
        pattern=rf"{NAME}([ ,;]+{NAME})*", form="DNS names with blanks between"),
    Key("ciupgrade", "switch", "Cloud-init: upgrade packages at the first start."),
    Key("skip_ipv6", "boolean", "Do not look for an IPv6 address.", False),
    Key("groups", "list", "More Ansible groups.",
        pattern=r"[A-Za-z_][A-Za-z0-9_]*", form="a group's name of letters, digits and _"),
    Key("variables", "map", "Ansible variables of the host; never evaluated here."),
)  # fmt: skip

# What nothing in Proxmox tells of a VM: it is said to Ansible, or to whoever changes the VM.
UNOBSERVED = frozenset({
    "full_clone", "automatic_reboot", "define_connection_info", "skip_ipv6", "groups", "variables",
})  # fmt: skip
# What is said to Ansible or decided here; every other key is an option of the VM in Proxmox.
_OURS = UNOBSERVED | frozenset({
    "target_node", "managed", "vmid", "vm_state", "clone", "template", "serial",
})  # fmt: skip
OPTION_KEYS = tuple(key for key in VM_KEYS if key.name not in _OURS)

_SPEEDS = (
    *(Key(f"mbps{way}", "number", f"Most MB/s{words}.", minimum=0)
      for way, words in (("", ""), ("_rd", " read"), ("_wr", " written"))),
    *(Key(f"mbps{way}_max", "number", f"Most MB/s{words} in a burst.", minimum=0)
      for way, words in (("", ""), ("_rd", " read"), ("_wr", " written"))),
    *(Key(f"bps{way}_max_length", "integer", f"Longest burst{words}, in seconds.", minimum=1)
      for way, words in (("", ""), ("_rd", " of reading"), ("_wr", " of writing"))),
    *(Key(f"iops{way}", "integer", f"Most operations a second{words}.", minimum=0)
      for way, words in (("", ""), ("_rd", ", reading"), ("_wr", ", writing"))),
    *(Key(f"iops{way}_max", "integer", f"Most operations a second in a burst{words}.", minimum=0)
      for way, words in (("", ""), ("_rd", ", reading"), ("_wr", ", writing"))),
    *(Key(f"iops{way}_max_length", "integer", f"Longest burst of operations{words}, in seconds.",
          minimum=1)
      for way, words in (("", ""), ("_rd", ", reading"), ("_wr", ", writing"))),
)  # fmt: skip

# Options of disks and passed-through devices that may change.
DISK_OPTION_KEYS = (
    Key("aio", "string", "Asynchronous I/O.", choices=("native", "threads", "io_uring")),
    Key("backup", "switch", "Part of backups."),
    Key("cache", "string", "Cache mode.",
        choices=("none", "writethrough", "writeback", "unsafe", "directsync")),
    Key("detect_zeroes", "switch", "Do not write zeroes where there are some."),
    Key("discard", "switch", "Pass discards on to the storage."),
    Key("iothread", "switch", "A thread of its own for I/O (scsi and virtio)."),
    Key("replicate", "switch", "Part of replication jobs."),
    Key("ro", "switch", "Read-only (scsi and virtio)."),
    Key("serial", "string", "Serial number shown to the guest.", longest=20,
        pattern=r"[ -~]+", form="ASCII characters"),
    Key("ssd", "switch", "Shown to the guest as an SSD (not virtio)."),
    *_SPEEDS,
)  # fmt: skip
# The buses that have an option, where not all do.
BUSES_OF = {
    "iothread": ("scsi", "virtio"),
    "ro": ("scsi", "virtio"),
    "ssd": ("scsi", "sata", "ide"),
}

DISK_KEYS = (
    Key("storage", "string", "Storage.", pattern=CONFIG_ID, form="a storage's name"),
    Key("size", "string", "Size: a number with K, M, G or T, or none for G; whole KiB, rounded up.",
        pattern=SIZE, form="a size as 50G"),
    Key("format", "string", "Format of the image.", choices=("raw", "qcow2", "vmdk")),
    Key("import-from", "string", "A new disk is a copy of this image.",
        pattern=rf"{VOLUME}|/[^\s,=]+", form="a volume as local:import/debian.qcow2"),
    *DISK_OPTION_KEYS,
)  # fmt: skip

FILE_KEY = Key("file", "string", "Passthrough: the device's path; root alone may give one.",
               pattern=r"/[^\s,=]+", form="a path as /dev/disk/by-id/NAME")  # fmt: skip
ISO_KEY = Key("iso", "string", "A cdrom with this image, as `local:iso/talos.iso`.",
              pattern=rf"{VOLUME}|none|cdrom", form="a volume as local:iso/talos.iso")  # fmt: skip

FLAT_DISK_KEYS = (
    Key("slot", "string", "Slot on a controller.", REQUIRED, pattern=SLOT,
        form="a slot: scsi0-30, virtio0-15, sata0-5 or ide0-3"),
    Key("type", "string", "What is in it.", "disk",
        choices=("disk", "cdrom", "cloudinit", "passthrough")),
    Key("cloudinit", "switch", "A cdrom with the cloud-init data.", False),
    ISO_KEY,
    FILE_KEY,
    *DISK_KEYS,
)  # fmt: skip

NIC_KEYS = (
    Key("bridge", "string", "Bridge of the node.", REQUIRED,
        pattern=r"[A-Za-z0-9][A-Za-z0-9_.-]*", form="a bridge's name"),
    Key("model", "string", "Emulated card.", "virtio", choices=NIC_MODELS),
    Key("firewall", "switch", "Proxmox's firewall.", False),
    Key("mac", "string", "MAC address; without it Proxmox makes one.", option="macaddr",
        pattern=r"[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}", form="a unicast MAC address"),
    Key("vlan", "integer", "VLAN tag.", option="tag", minimum=1, maximum=4094),
    Key("trunks", "ranges", "VLANs that pass through, as `10;20-29`.", minimum=1, maximum=4094,
        form="numbers and ranges with semicolons, as 10;20-29", pattern=";"),
    Key("mtu", "integer", "MTU; 1 takes the bridge's.", minimum=1, maximum=65520),
    Key("rate", "number", "Most MB/s.", minimum=0),
    Key("queues", "integer", "Packet queues.", minimum=0, maximum=64),
    Key("link_down", "switch", "Unplugged."),
)  # fmt: skip

# How Proxmox, Terraform and people call a key that has another name here, or another place.
OTHER_NAMES = {
    "address": "ipconfig0",
    "bridge": "network",
    "cpu": "cpu_type",
    "cpus": "cores",
    "dns": "nameserver",
    "gateway": "ipconfig0",
    "gw": "ipconfig0",
    "ip": "ipconfig0",
    "iso": "disks",
    "mac": "network",
    "model": "network",
    "net0": "network",
    "node": "target_node",
    "ram": "memory",
    "scsi0": "disks",
    "size": "disks",
    "slot": "disks",
    "storage": "disks",
    "tag": "vlan",
    "type": "disks",
    "user": "ciuser",
    "username": "ciuser",
    "vcpus": "cores",
    "vlan": "network",
}
