"""Where each service of the lab answers: the lab's LAN has the example platform's addresses."""

import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stackyard.lab.errors import LabError

LAN = ipaddress.IPv4Network("192.168.1.0/24")
GATEWAY = "192.168.1.1"
PACKAGE_PROXY_PORT = 3128
VAULT = "192.168.1.8"
VAULT_PORT = 8200
MIRROR = "192.168.1.9"
MIRROR_PORT = 80
PROXMOX_PORT = 8006
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Addresses:
    """The host of each service; a port of 0 stands for any free one."""

    proxmox: tuple[str, ...]
    proxmox_port: int
    vault: str
    vault_port: int
    mirror: str
    mirror_port: int

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every address a service listens on, each once."""
        return tuple(dict.fromkeys((*self.proxmox, self.vault, self.mirror)))


def in_lan(nodes: Iterable[str]) -> Addresses:
    """Return the services' places in a LAN of the lab's own, given its nodes' addresses.

    Raises a LabError for a node whose address is outside the LAN or somebody else's.
    """
    proxmox = tuple(nodes)
    taken = {GATEWAY, VAULT, MIRROR}
    for address in proxmox:
        if ipaddress.ip_address(address) not in LAN or address in taken:
            others = ", ".join(sorted(taken))
            raise LabError(
                f"a node's address is {address}; with machines each node of the platform needs "
                f"one in {LAN} of its own, and none of {others}"
            )
        taken.add(address)
    return Addresses(proxmox, PROXMOX_PORT, VAULT, VAULT_PORT, MIRROR, MIRROR_PORT)


def on_loopback() -> Addresses:
    """Return the services' places on this machine, each with a free port."""
    return Addresses((LOOPBACK,), 0, LOOPBACK, 0, LOOPBACK, 0)


def lab_id(folder: Path) -> str:
    """Return a short name of the lab in a folder, so that several labs live side by side."""
    return "stackyard-" + hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
