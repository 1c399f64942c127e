"""The property strings of a VM's devices: disks, network cards, addresses, the agent."""

from stackyard.lab.api import values as v
from stackyard.lab.api.formats import Rule

Table = dict[str, Rule]

BOOL = Rule("boolean")
TEXT = Rule()
COUNT = Rule("integer", minimum=1)
NATURAL = Rule("integer", minimum=0)


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def enum(text: str) -> Rule:
    """Return the rule of an option that takes one of these words."""
    return Rule(enum=words(text))


NIC_MODELS = words(
    "e1000 e1000-82540em e1000-82544gc e1000-82545em e1000e i82551 i82557b i82559er "
    "ne2k_isa ne2k_pci pcnet rtl8139 virtio vmxnet3"
)
_WAYS = ("", "_rd", "_wr")
_SPEED: Table = {
    **{f"bps{way}": Rule("integer") for way in _WAYS},
    **{f"iops{way}{extra}": Rule("integer") for way in _WAYS for extra in ("", "_max")},
    **{f"mbps{way}{extra}": Rule("number") for way in _WAYS for extra in ("", "_max")},
    **{f"{unit}{way}_max_length": COUNT for unit in ("bps", "iops") for way in _WAYS},
    **{
        f"{unit}{way}_length": Rule(alias=f"{unit}{way}_max_length")
        for unit in ("bps", "iops")
        for way in ("_rd", "_wr")
    },
}
_DRIVE: Table = _SPEED | {
    "file": Rule(optional=False, format=v.volume_id, default_key=True),
    "volume": Rule(alias="file"),
    "aio": enum("native threads io_uring"),
    "backup": BOOL,
    "cache": enum("none writethrough writeback unsafe directsync"),
    "detect_zeroes": BOOL,
    "discard": enum("ignore on"),
    "format": enum("raw qcow qed qcow2 vmdk cloop"),
    "import-from": Rule(format=v.image_source),
    "media": enum("cdrom disk"),
    "replicate": BOOL,
    "rerror": enum("ignore report stop"),
    "serial": Rule(max_length=60, format=v.url_encoded),
    "shared": BOOL,
    "size": Rule(format=v.disk_size),
    "snapshot": BOOL,
    "werror": enum("enospc ignore report stop"),
}
_SSD: Table = {"ssd": BOOL, "wwn": Rule(pattern=r"0x[0-9a-fA-F]{16}")}
_IDE: Table = _DRIVE | _SSD | {"model": Rule(max_length=120, format=v.url_encoded)}
_SCSI: Table = (
    _DRIVE
    | _SSD
    | {
        "iothread": BOOL,
        "product": Rule(pattern=r"[A-Za-z0-9\-_\s]{1,16}"),
        "queues": Rule("integer", minimum=2),
        "ro": BOOL,
        "scsiblock": BOOL,
        "vendor": Rule(pattern=r"[A-Za-z0-9\-_\s]{1,8}"),
    }
)
DRIVES: dict[str, Table] = {
    "ide": _IDE,
    "sata": _DRIVE | _SSD,
    "scsi": _SCSI,
    "virtio": _DRIVE | {"iothread": BOOL, "ro": BOOL},
    "efidisk": {
        "file": Rule(optional=False, format=v.volume_id, default_key=True),
        "volume": Rule(alias="file"),
        "efitype": enum("2m 4m"),
        "format": enum("raw qcow2 vmdk"),
        "import-from": Rule(format=v.image_source),
        "ms-cert": enum("2011 2023 2023w 2023k"),
        "pre-enrolled-keys": BOOL,
        "size": Rule(format=v.disk_size),
    },
    "tpmstate": {
        "file": Rule(optional=False, format=v.volume_id, default_key=True),
        "volume": Rule(alias="file"),
        "format": enum("raw qcow2 vmdk"),
        "import-from": Rule(format=v.image_source),
        "size": Rule(format=v.disk_size),
        "version": enum("v1.2 v2.0"),
    },
    "unused": {
        "file": Rule(optional=False, format=v.volume_id, default_key=True),
        "volume": Rule(alias="file"),
    },
}
NET: Table = {
    **{model: Rule(alias="macaddr", key_alias="model") for model in NIC_MODELS},
    "model": Rule(optional=False, enum=NIC_MODELS, default_key=True),
    "macaddr": Rule(format=v.mac),
    "bridge": Rule(format=v.bridge_id),
    "firewall": BOOL,
    "host-tunnel": BOOL,
    "link_down": BOOL,
    "mtu": Rule("integer", minimum=1, maximum=65520),
    "queues": Rule("integer", minimum=0, maximum=64),
    "rate": Rule("number", minimum=0),
    "tag": Rule("integer", minimum=1, maximum=4094),
    "trunks": Rule(pattern=r"\d+(?:-\d+)?(?:;\d+(?:-\d+)?)*"),
}
IPCONFIG: Table = {
    "ip": Rule(format=v.ipv4_config),
    "gw": Rule(format=v.ipv4, requires="ip"),
    "ip6": Rule(format=v.ipv6_config),
    "gw6": Rule(format=v.ipv6, requires="ip6"),
}
AGENT: Table = {
    "enabled": Rule("boolean", optional=False, default_key=True),
    "freeze-fs": BOOL,
    "freeze-fs-on-backup": Rule(alias="freeze-fs"),
    "guest-fsfreeze": Rule(alias="freeze-fs"),
    "fstrim_cloned_disks": BOOL,
    "type": enum("virtio isa"),
}
CICUSTOM: Table = {name: Rule(format=v.volume_id) for name in ("meta", "network", "user", "vendor")}
