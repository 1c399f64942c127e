"""The property strings of a VM's other devices: CPU, PCI, USB, display, firmware and the like."""

import re

from stackyard.lab.api import values as v
from stackyard.lab.api.devices import BOOL, Table, enum, words
from stackyard.lab.api.formats import Rule

_FLAGS = "|".join(
    words(
        "pcid spec-ctrl ibpb ssbd virt-ssbd amd-ssbd amd-no-ssb pdpe1gb md-clear hv-tlbflush "
        "hv-evmcs aes nested-virt"
    )
)
_RANGES = Rule(pattern=r"\d+(?:-\d+)?(?:;\d+(?:-\d+)?)*")
_HEX = Rule(pattern=r"0x[0-9a-fA-F]{4}")
_CONFIG_ID = Rule(format=v.config_id)
_ADDRESS = r"(?:[a-f0-9]{4,}:)?[a-f0-9]{2}:[a-f0-9]{2}(?:\.[a-f0-9])?"

CPU: Table = {
    "cputype": Rule(pattern=r"[A-Za-z0-9][A-Za-z0-9_.-]*", default_key=True),
    "flags": Rule(pattern=rf"[+-](?:{_FLAGS})(?:;[+-](?:{_FLAGS}))*"),
    "guest-phys-bits": Rule("integer", minimum=32, maximum=64),
    "hidden": BOOL,
    "hv-vendor-id": Rule(pattern=r"[a-zA-Z0-9]{1,12}"),
    "phys-bits": Rule(pattern=r"host|[89]|[1-5]\d|6[0-4]"),
}
NUMA: Table = {
    "cpus": Rule(optional=False, pattern=_RANGES.pattern),
    "hostnodes": _RANGES,
    "memory": Rule("number"),
    "policy": enum("preferred bind interleave"),
}
PCI: Table = {
    "host": Rule(pattern=rf"(?i:{_ADDRESS}(?:;{_ADDRESS})*)", default_key=True),
    "deny-write": BOOL,
    "device-id": _HEX,
    "driver": enum("vfio keep"),
    "legacy-igd": BOOL,
    "mapping": _CONFIG_ID,
    "mdev": Rule(pattern=r"[^/.:]+"),
    "pcie": BOOL,
    "rombar": BOOL,
    "romfile": Rule(pattern=r"[^,;]+"),
    "sub-device-id": _HEX,
    "sub-vendor-id": _HEX,
    "vendor-id": _HEX,
    "x-vga": BOOL,
}
RNG: Table = {
    "source": Rule(
        optional=False, enum=("/dev/urandom", "/dev/random", "/dev/hwrng"), default_key=True
    ),
    "max_bytes": Rule("integer"),
    "period": Rule("integer"),
}
USB: Table = {
    "host": Rule(
        pattern=r"(?:0x)?[0-9A-Fa-f]{4}:(?:0x)?[0-9A-Fa-f]{4}|\d+-\d+(?:\.\d+)*|(?i:spice)",
        default_key=True,
    ),
    "mapping": _CONFIG_ID,
    "usb3": BOOL,
}
VGA: Table = {
    "type": Rule(
        enum=words(
            "cirrus qxl qxl2 qxl3 qxl4 none serial0 serial1 serial2 serial3 std virtio virtio-gl "
            "vmware"
        ),
        default_key=True,
    ),
    "clipboard": enum("vnc"),
    "memory": Rule("integer", minimum=4, maximum=512),
}
VIRTIOFS: Table = {
    "dirid": Rule(optional=False, format=v.config_id, default_key=True),
    "cache": enum("auto always metadata never"),
    "direct-io": BOOL,
    "expose-acl": BOOL,
    "expose-xattr": BOOL,
}
WATCHDOG: Table = {
    "model": Rule(enum=("i6300esb", "ib700"), default_key=True),
    "action": enum("reset shutdown poweroff pause debug none"),
}


def startup(value: str) -> str | None:
    """Check a start and shutdown order: `3`, or `order=3,up=30,down=60`."""
    for part in value.split(","):
        if not re.fullmatch(r"(order=|up=|down=)?\d+", part):
            return "unable to parse startup options"
    return None


_WINDOWS = frozenset(words("wxp w2k w2k3 w2k8 wvista win7 win8 win10 win11"))
_VERSIONED = {"pc": "pc-i440fx-10.1", "q35": "pc-q35-10.1", "virt": "virt-10.1"}


def pinned(machine: str, ostype: str | None) -> str:
    """Return a machine as the server makes it for a guest system: Windows gets a version."""
    first, *rest = machine.removeprefix("type=").split(",")
    kind = _VERSIONED.get(first or "pc") if ostype in _WINDOWS else None
    return ",".join([kind or first, *rest])


def boot_order(value: str) -> str | None:
    """Check a boot order: `order=scsi0;net0`, or letters as `cdn`."""
    legacy = re.fullmatch(r"(legacy=)?[acdn]{1,4}", value)
    device = r"(ide|sata|scsi|virtio|net|usb|hostpci)\d+"
    good = legacy or re.fullmatch(rf"order={device}(;{device})*", value)
    return None if good else "invalid boot order"


def boot_devices(value: str) -> list[str]:
    """Return the devices of a boot order; letters name none."""
    return value.removeprefix("order=").split(";") if value.startswith("order=") else []


# What a user who is not root@pam itself, such as any token, may not set, by value.
def reserved(family: str, value: str, name: str) -> str | None:
    """Say why only root may give this device of the node, or None."""
    if family == "serial" and value != "socket":
        return f"only root can set '{name}' config for real devices"
    if family == "usb" and "mapping=" not in value and "spice" not in value.lower():
        return f"only root can set '{name}' config for real devices"
    if family == "hostpci" and "mapping=" not in value:
        return f"only root can set '{name}' config for non-mapped devices"
    return None
