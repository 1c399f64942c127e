"""Network cards of a definition and their addresses."""

import ipaddress
import re
from functools import lru_cache
from typing import Any

from stackyard.definitions.document import Mapping
from stackyard.definitions.key_reader import Report, take_all
from stackyard.definitions.keys import NIC_KEYS
from stackyard.definitions.model import IpConfig, Nic
from stackyard.definitions.values import BadValueError, shown

GATEWAY = lru_cache(maxsize=4096)(ipaddress.IPv4Address)  # that of one VM is that of many
MOST_NICS = 32
PREFIX = re.compile("[0-9]{1,3}")
SHORTEST_PREFIX = 8  # Proxmox takes no larger network
IP_PARTS = ("ip", "gw", "ip6", "gw6")


def read_networks(mapping: Mapping, report: Report) -> tuple[Nic, ...]:
    """Return the cards of `network` (one) or `networks` (a list); both at once is a mistake."""
    one, many = mapping.get("network"), mapping.get("networks")
    if one is not None and many is not None:
        report.add(mapping.lines["networks"], "network and networks are both given: keep one")
    line = mapping.line_of("network" if many is None else "networks")
    entries = many if many is not None else [one] if one is not None else []
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        report.add(line, "network must be a mapping, and networks a list of such")
        return ()
    if len(entries) > MOST_NICS:
        report.add(line, f"networks has {len(entries)} cards: a VM has at most {MOST_NICS}")
    nics = []
    for entry in entries:
        taken = take_all(entry, NIC_KEYS, report, " of a network")
        taken["mac"] = taken["mac"] and taken["mac"].upper()
        if taken["bridge"]:
            nics.append(Nic(**taken))
    return tuple(nics)


def count_cards(mapping: dict[str, Any]) -> int:
    """Return how many cards a definition names; with none, those that are there stay."""
    cards = mapping.get("networks") or mapping.get("network")
    return len(cards) if isinstance(cards, list) else int(bool(cards))


def read_ipconfigs(mapping: Mapping, report: Report) -> tuple[IpConfig | None, ...]:
    """Return what ipconfig0 to ipconfig31 say, by number; None in a gap.

    One without its card is a mistake: Proxmox would ignore it, and the inventory would not.
    """
    found: dict[int, IpConfig] = {}
    cards = count_cards(mapping) or MOST_NICS
    given = [name for name in mapping if name.startswith("ipconfig") and mapping[name] is not None]
    for name in given:
        match = re.fullmatch(r"ipconfig(\d+)", name)
        if match:
            line = mapping.line_of(name)
            number = int(match[1])
            if number >= cards:
                what = f"net{number}, without which Proxmox ignores it"
                report.add(line, f"{name} needs {what}: list all cards in networks")
            try:
                found[number] = read_ipconfig(mapping[name])
            except BadValueError as error:
                report.add(line, f"{name} {error}")
    return tuple(found.get(number) for number in range(max(found, default=-1) + 1))


def read_ipconfig(value: Any) -> IpConfig:
    """Return the addresses of one card.

    Raises:
        BadValueError: it is no such value.
    """
    if not isinstance(value, str):
        raise BadValueError(
            f"must be a text as ip=192.168.1.20/24,gw=192.168.1.1, not {shown(value)}"
        )
    parts: dict[str, str] = {}
    for part in value.split(","):
        name, equals, text = part.partition("=")
        if not equals or name not in IP_PARTS or name in parts:
            raise BadValueError(f"takes ip=, gw=, ip6= and gw6=, each once, not {shown(part)}")
        parts[name] = text
    _check_address(parts, "ip", "gw", ("dhcp",), ipaddress.IPv4Network)
    _check_address(parts, "ip6", "gw6", ("dhcp", "auto"), ipaddress.IPv6Network)
    return IpConfig(**parts)


def _check_address(
    parts: dict[str, str],
    ip: str,
    gw: str,
    words: tuple[str, ...],
    network_of: type[ipaddress.IPv4Network | ipaddress.IPv6Network],
) -> None:
    address, gateway = parts.get(ip), parts.get(gw)
    if gateway is not None and (address is None or address in words):
        raise BadValueError(f"has {gw}= without an address in {ip}=")
    if address is None or address in words:
        return
    prefix = address.partition("/")[2]
    if not prefix:
        raise BadValueError(f"needs {ip}= with a prefix, as 192.168.1.20/24, not {shown(address)}")
    if not PREFIX.fullmatch(prefix) or int(prefix) < SHORTEST_PREFIX or "%" in address:
        raise BadValueError(
            f"needs {ip}= with a prefix of {SHORTEST_PREFIX} or more, not {shown(address)}"
        )
    try:
        network = network_of(address, strict=False)
        inside = gateway is None or _is_gateway(gateway, network)
    except ValueError:
        raise BadValueError(f"has no address in {ip}= or {gw}=: {shown(address)}") from None
    if not inside:
        raise BadValueError(f"has a gateway, {gateway}, that is not in {network}")


def _is_gateway(gateway: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Tell whether an address can be the gateway; one of IPv6 is often link-local, outside.

    Raises:
        ValueError: it is no address of the network's version.
    """
    if isinstance(network, ipaddress.IPv4Network):
        is_alone = network.prefixlen == network.max_prefixlen  # as some providers have it
        return GATEWAY(gateway) in network or is_alone
    if "%" in gateway:
        raise ValueError(gateway)
    return bool(ipaddress.IPv6Address(gateway))
