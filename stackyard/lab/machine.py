"""What the Proxmox endpoint asks of the machines behind it; machines that only say they run."""

import ipaddress
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Boot:
    """All a machine is told at one start: who it is, its cards, its NoCloud documents."""

    vmid: int
    node: str
    name: str
    macs: tuple[str, ...]
    """MAC addresses of net0, net1 …, upper case."""
    addresses: tuple[str, ...]
    """CIDRs that the network config gives net0, net1 …; "" or "dhcp" where there is none."""
    gateway: str
    """The default gateway's address, "" where there is none."""
    user_data: str
    meta_data: str
    network_config: str


class MachineError(Exception):
    """A machine did not do as told; the text becomes the exit status of the Proxmox task."""


class Machines(Protocol):
    """The hypervisor's side of the lab: whatever runs the guests."""

    async def start(self, boot: Boot) -> None:
        """Start a machine; returns once its init runs."""
        ...

    async def stop(self, vmid: int) -> None:
        """Cut the power."""
        ...

    async def shutdown(self, vmid: int, seconds: float, /) -> None:
        """Ask the guest to power off; MachineError when it has not within so many seconds."""
        ...

    def running(self, vmid: int) -> bool:
        """Whether the machine runs; false as well once the guest powered itself off."""
        ...

    async def destroy(self, vmid: int) -> None:
        """Remove the machine's disk; nothing happens where there is none."""
        ...

    async def interfaces(self, vmid: int) -> list[dict[str, object]] | None:
        """Return the agent's network-get-interfaces; None when it does not answer."""
        ...

    async def read_file(self, vmid: int, path: str) -> bytes | None:
        """Return a file of the guest; None when it is missing or no agent answers."""
        ...


SHUTDOWN_TIMED_OUT = "VM quit/powerdown failed - got timeout"


def loopback() -> dict[str, object]:
    """Return the agent's record of the loopback interface, which every guest has."""
    return {
        "name": "lo",
        "hardware-address": "00:00:00:00:00:00",
        "ip-addresses": [
            {"ip-address-type": "ipv4", "ip-address": "127.0.0.1", "prefix": 8},
            {"ip-address-type": "ipv6", "ip-address": "::1", "prefix": 128},
        ],
    }


def card(name: str, mac: str, addresses: list[tuple[str, int]]) -> dict[str, object]:
    """Return the agent's record of an interface; an address is its text and its prefix length."""
    return {
        "name": name,
        "hardware-address": mac.lower(),
        "ip-addresses": [
            {
                "ip-address-type": f"ipv{ipaddress.ip_address(address).version}",
                "ip-address": address,
                "prefix": prefix,
            }
            for address, prefix in addresses
        ],
    }


def static_addresses(boot: Boot) -> tuple[tuple[ipaddress.IPv4Interface, ...], ...]:
    """Return the IPv4 interface of each card in order, none where it has no static address."""
    return tuple(
        () if text in ("", "dhcp") else (ipaddress.IPv4Interface(text),) for text in boot.addresses
    )


class Simulated:
    """Machines without any system below them: they start at once and answer what they were told."""

    def __init__(self) -> None:
        self._booted: dict[int, Boot] = {}
        self._files: dict[tuple[int, str], bytes] = {}

    async def start(self, boot: Boot) -> None:
        """Remember the machine as running."""
        self._booted[boot.vmid] = boot
        self._files[boot.vmid, "/etc/hostname"] = f"{boot.name}\n".encode()

    async def stop(self, vmid: int) -> None:
        """Forget that the machine runs."""
        self._booted.pop(vmid, None)

    async def shutdown(self, vmid: int, _seconds: float, /) -> None:
        """Forget that the machine runs: a simulated guest obeys at once."""
        self._booted.pop(vmid, None)

    def running(self, vmid: int) -> bool:
        """Whether the machine was started and not stopped."""
        return vmid in self._booted

    async def destroy(self, vmid: int) -> None:
        """Forget the machine and its files."""
        self._booted.pop(vmid, None)
        for key in [key for key in self._files if key[0] == vmid]:
            del self._files[key]

    async def interfaces(self, vmid: int) -> list[dict[str, object]] | None:
        """Return loopback and each card with the address that its boot gave it."""
        boot = self._booted.get(vmid)
        if boot is None:
            return None
        given = static_addresses(boot)
        cards = []
        for number, mac in enumerate(boot.macs):
            own = given[number] if number < len(given) else ()
            pairs = [(str(one.ip), one.network.prefixlen) for one in own]
            cards.append(card(f"eth{number}", mac, pairs))
        return [loopback(), *cards]

    async def read_file(self, vmid: int, path: str) -> bytes | None:
        """Return one of the few files that a simulated guest has."""
        return self._files.get((vmid, path)) if vmid in self._booted else None
