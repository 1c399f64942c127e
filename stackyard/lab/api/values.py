"""Checks of single values by name: addresses, volume ids, tags, what Proxmox calls a format.

Each returns what is wrong in the server's words, or None.
"""

import ipaddress
import re
from collections.abc import Callable

Check = Callable[[str], str | None]


def matches(pattern: str, what: str) -> Check:
    """Return a check that a value matches; what it then `does not look like` names it."""
    compiled = re.compile(pattern)

    def check(value: str) -> str | None:
        return None if compiled.fullmatch(value) else f"value does not look like a valid {what}"

    return check


_LABEL = r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?"
dns_name = matches(rf"({_LABEL}\.)*{_LABEL}", "DNS name")
vm_id = matches(r"[1-9][0-9]{2,8}", "VM ID")
node_name = matches(_LABEL, "node name")
storage_id = matches(r"[a-zA-Z][a-zA-Z0-9_.-]*[a-zA-Z0-9]", "storage ID")
config_id = matches(r"(?i:[a-z][a-z0-9_-]+)", "configuration ID")
image_source = matches(r"[a-zA-Z][a-zA-Z0-9_.-]*[a-zA-Z0-9]:.+|/.*", "volume ID or path")
cpu_set = matches(r"\d+(-\d+)?(,\d+(-\d+)?)*", "CPU set")
pool_id = matches(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*", "pool ID")
bridge_id = matches(r"[-_.\w\d]+", "bridge ID")
volume_id = matches(r"[a-zA-Z][a-zA-Z0-9_.-]*[a-zA-Z0-9]:.+|none|cdrom|/.*", "volume ID")
ha_service = matches(r"((vm|ct):)?[1-9]\d+", "HA resource")
disk_size = matches(r"\d+(\.\d+)?[KMGT]?", "disk size")


def split_list(text: str) -> list[str]:
    """Return the parts of a list: blanks, commas and semicolons stand between them."""
    return [part for part in re.split(r"[\s,;]+", text) if part]


def mac(value: str) -> str | None:
    """Check a unicast MAC address."""
    good = re.fullmatch(r"[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}", value)
    return None if good else "value does not look like a valid unicast MAC address"


def url_encoded(value: str) -> str | None:
    """Check that a value is percent-encoded; Proxmox wants that of `sshkeys`."""
    good = re.fullmatch(r"[-%a-zA-Z0-9_.!~*'()]*", value)
    return None if good else f"invalid urlencoded string: {value}"


def tag_list(value: str) -> str | None:
    """Check tags: separated by blank, comma or semicolon."""
    for tag in split_list(value):
        if not re.fullmatch(r"[a-zA-Z0-9_][a-zA-Z0-9_+.-]*", tag):
            return "invalid characters in tag"
    return None


def hotplug(value: str) -> str | None:
    """Check what may be plugged: 0, 1 or a list of features."""
    known = ("network", "disk", "cpu", "memory", "usb", "cloudinit")
    good = value in ("0", "1") or all(part in known for part in split_list(value))
    return None if good else "unable to parse hotplug option"


_SHORTEST_PREFIX = 8


def _cidr(value: str) -> bool:
    """Whether a prefix length follows, of 8 at least."""
    length = re.fullmatch(r"[^/]+/(\d+)", value)
    return length is not None and int(length[1]) >= _SHORTEST_PREFIX


def _address(value: str, parser: Callable[[str], object]) -> bool:
    if "%" in value:  # a zone
        return False
    try:
        parser(value)
    except ValueError:
        return False
    return True


def ipv4_config(value: str) -> str | None:
    """Check `ip=` of ipconfigN: `dhcp` or an address with its prefix length."""
    good = value == "dhcp" or (_cidr(value) and _address(value, ipaddress.IPv4Interface))
    return None if good else "value does not look like a valid ipv4 network configuration"


def ipv6_config(value: str) -> str | None:
    """Check `ip6=` of ipconfigN: `dhcp`, `auto` or an address with its prefix length."""
    good = value in ("dhcp", "auto") or (_cidr(value) and _address(value, ipaddress.IPv6Interface))
    return None if good else "value does not look like a valid ipv6 network configuration"


def ipv4(value: str) -> str | None:
    """Check an IPv4 address."""
    good = _address(value, ipaddress.IPv4Address)
    return None if good else "value does not look like a valid ipv4 address"


def ipv6(value: str) -> str | None:
    """Check an IPv6 address."""
    good = _address(value, ipaddress.IPv6Address)
    return None if good else "value does not look like a valid ipv6 address"


def address_list(value: str) -> str | None:
    """Check name servers: addresses separated by blank, comma or semicolon."""
    for item in split_list(value):
        if not _address(item, ipaddress.ip_address):
            return "value does not look like a valid IP address"
    return None
