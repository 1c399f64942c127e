"""The table of devices: which key holds what device, and the keys of each.

Names, types, ranges and defaults are those of Proxmox's API schema.
"""

from dataclasses import dataclass

from stackyard.definitions import hardware
from stackyard.definitions.keys import CONFIG_ID, DISK_KEYS, REQUIRED, SNIPPET, Key


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of device: under its name alone, or under name0, name1 … up to its count."""

    name: str
    help: str
    model: type[hardware.Device]
    keys: tuple[Key, ...]
    count: int = 0  # 0: the name alone, without a number
    first: str = ""  # the key that a plain value stands for
    one_of: tuple[str, ...] = ()  # exactly one of these keys is needed

    @property
    def numbers(self) -> tuple[str, ...]:
        """Every key that holds such a device."""
        return tuple(f"{self.name}{n}" for n in range(self.count)) if self.count else (self.name,)


_VERSION = r"\d+(\.\d+)+(\+pve\d+)?"
_MACHINE = rf"pc|q35|pc(-i440fx|-q35)?-{_VERSION}(\.pxe)?|virt(-\d+(\.\d+)+)?(\+pve\d+)?"
_MAPPING = r"[A-Za-z][A-Za-z0-9_-]+"
_PCI = r"([0-9A-Fa-f]{4,}:)?[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}(\.[0-9A-Fa-f])?"
_HEX = r"0x[0-9A-Fa-f]{4}"
_USB = r"(0x)?[0-9A-Fa-f]{4}:(0x)?[0-9A-Fa-f]{4}|\d+-\d+(\.\d+)*|[Ss][Pp][Ii][Cc][Ee]"
_RANGES = "numbers and ranges with semicolons, as 0-3;8"
_STORAGE = Key(
    "storage", "string", "Storage.", REQUIRED, pattern=CONFIG_ID, form="a storage's name"
)
_FORMAT = next(key for key in DISK_KEYS if key.name == "format")

SERIAL_PORTS = ("serial0", "serial1", "serial2", "serial3")
SERIAL_KEY = Key("serial0", "string", "Serial port: `socket`, or a device of the node, which root "
                 "alone may give; to `serial3`.", pattern=r"socket|/dev/[^\s,=]+",
                 form="socket or a device as /dev/ttyS0")  # fmt: skip

FAMILIES = (
    Family("machine", "Machine type.", hardware.Machine, (
        Key("type", "string", "The type, as q35 or pc-i440fx-9.0; a Windows guest "
            "keeps the version that it has.", longest=40,
            pattern=_MACHINE, form="a machine type as q35"),
        Key("viommu", "string", "Emulated IOMMU.", choices=("intel", "virtio")),
        Key("enable-s3", "switch", "Suspend to memory."),
        Key("enable-s4", "switch", "Suspend to disk."),
    ), first="type"),
    Family("numa", "NUMA topology.", hardware.NumaNode, (
        Key("cpus", "ranges", "CPUs of the guest, as `0-3`.", REQUIRED,
            minimum=0, pattern=";", form=_RANGES),
        Key("memory", "number", "Memory in MiB.", minimum=0),
        Key("hostnodes", "ranges", "NUMA nodes of the host.", minimum=0, pattern=";", form=_RANGES),
        Key("policy", "string", "How they are used.", choices=("preferred", "bind", "interleave")),
    ), 8),
    Family("efidisk", "Where OVMF keeps its variables.", hardware.EfiDisk, (
        _STORAGE,
        _FORMAT,
        Key("efitype", "string", "Size and kind of the variables.", choices=("2m", "4m")),
        Key("pre-enrolled-keys", "switch", "With keys for Secure Boot."),
        Key("ms-cert", "string", "Microsoft certificate, or a later one that is enrolled.",
            choices=("2011", "2023", "2023w", "2023k")),
    ), 1),
    Family("tpmstate", "Where the TPM keeps its state.", hardware.TpmState, (
        _STORAGE,
        Key("version", "string", "TPM version.", choices=("v1.2", "v2.0")),
    ), 1),
    Family("vga", "Display.", hardware.Vga, (
        Key("type", "string", "Kind.", choices=(
            "cirrus", "none", "qxl", "qxl2", "qxl3", "qxl4", "serial0", "serial1", "serial2",
            "serial3", "std", "virtio", "virtio-gl", "vmware")),
        Key("memory", "integer", "Memory in MiB.", minimum=4, maximum=512),
        Key("clipboard", "string", "Clipboard.", choices=("vnc",)),
    ), first="type"),
    Family("hostpci", "PCI device of the node.", hardware.Pci, (
        Key("host", "string", "Address, as 0000:01:00.0; several with `;`. Root alone may give it.",
            pattern=rf"{_PCI}(;{_PCI})*", form="a PCI address as 0000:01:00.0"),
        Key("mapping", "string", "Mapping of the cluster.", pattern=_MAPPING,
            form="a mapping's name"),
        Key("pcie", "switch", "On the PCI Express bus (q35)."),
        Key("rombar", "switch", "Its ROM is visible."),
        Key("romfile", "string", "ROM in /usr/share/kvm/; root alone may give it.",
            pattern=r"[^\s,;=]+", form="a file's name"),
        Key("x-vga", "switch", "It is the primary graphics card."),
        Key("legacy-igd", "switch", "Legacy mode of Intel graphics."),
        Key("mdev", "string", "Type of mediated device.", pattern=r"[^\s,;/.:=]+", form="a type"),
        *(Key(name, "string", f"Shown to the guest as {words}.", pattern=_HEX,
              form="four hex digits as 0x10de")
          for name, words in (("vendor-id", "vendor"), ("device-id", "device"),
                              ("sub-vendor-id", "subsystem vendor"),
                              ("sub-device-id", "subsystem device"))),
    ), 16, "host", ("host", "mapping")),
    Family("usb", "USB device.", hardware.Usb, (
        Key("host", "string", "Id (1234:5678) or port (1-2) at the node, which root alone may "
            "give, or `spice`.", pattern=_USB, form="1234:5678, 1-2 or spice"),
        Key("mapping", "string", "Mapping of the cluster.", pattern=_MAPPING,
            form="a mapping's name"),
        Key("usb3", "switch", "USB 3."),
    ), 14, "host", ("host", "mapping")),
    Family("virtiofs", "Directory shared with the guest.", hardware.Virtiofs, (
        Key("dirid", "string", "Directory mapping of the cluster.", REQUIRED,
            pattern=_MAPPING, form="a mapping's name"),
        Key("cache", "string", "Cache.", choices=("auto", "always", "metadata", "never")),
        Key("direct-io", "switch", "The guest may use direct I/O."),
        Key("expose-acl", "switch", "With ACLs, and so with extended attributes."),
        Key("expose-xattr", "switch", "With extended attributes."),
    ), 10, "dirid"),
    Family("startup", "Start and shutdown order of the node.", hardware.Startup, (
        Key("order", "integer", "Place; lower ones start first.", minimum=0),
        Key("up", "integer", "Seconds until the next one starts.", minimum=0),
        Key("down", "integer", "Seconds until the next one shuts down.", minimum=0),
    ), first="order"),
    Family("watchdog", "Watchdog.", hardware.Watchdog, (
        Key("model", "string", "Model.", choices=("i6300esb", "ib700")),
        Key("action", "string", "What it does.",
            choices=("reset", "shutdown", "poweroff", "pause", "debug", "none")),
    ), first="model"),
    Family("rng", "Random number generator.", hardware.Rng, (
        Key("source", "string", "Source at the node.", REQUIRED,
            choices=("/dev/urandom", "/dev/random", "/dev/hwrng")),
        Key("max_bytes", "integer", "Most bytes a period; 0: no limit.", minimum=0),
        Key("period", "integer", "Milliseconds.", minimum=0),
    ), 1, "source"),
    Family("cicustom", "Cloud-init: snippets in place of Proxmox's documents.", hardware.CiCustom,
           tuple(Key(name, "string", f"The {name} document.", pattern=SNIPPET,
                     form="a volume as local:snippets/user.yaml")
                 for name in ("meta", "network", "user", "vendor"))),
)  # fmt: skip

FAMILY_OF = {name: family for family in FAMILIES for name in family.numbers}
