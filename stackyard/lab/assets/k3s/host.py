"""What the program finds out about the machine it runs on."""

import ipaddress
import os
import platform
import socket
from pathlib import Path

from .log import FatalError

# A documentation address (RFC 5737): connecting a datagram socket sends nothing.
ELSEWHERE = ("192.0.2.1", 9)


def node_name(given: str) -> str:
    """Return the name of this node: what was given, else the host name, lower case."""
    return (given or socket.gethostname()).lower()


def node_addresses(given: list[str]) -> list[str]:
    """Return the addresses of this node: those given, else that of the default route."""
    for text in given:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            raise FatalError(f"invalid node-ip: invalid ip {text}") from None
    if given:
        return given
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ELSEWHERE)
        except OSError:
            raise FatalError('no default routes found in "/proc/net/route"') from None
        return [str(probe.getsockname()[0])]


def operating_system() -> str:
    """Return the distribution's full name."""
    return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")


def identifier(path: str) -> str:
    """Return one of the kernel's or systemd's identifiers, "" where there is none."""
    file = Path(path)
    return file.read_text(encoding="ascii").strip() if file.exists() else ""


def memory_kib() -> int:
    """Return the memory in KiB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024


def notify_ready() -> None:
    """Tell systemd that the service is up (Type=notify); nothing happens without systemd."""
    where = os.environ.pop("NOTIFY_SOCKET", "")
    if not where:
        return
    address = "\0" + where[1:] if where.startswith("@") else where
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.sendto(b"READY=1\n", address)
