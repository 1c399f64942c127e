"""The lab's LAN: a bridge without a way out, and a network namespace for each machine.

Everything here runs inside the LAN's own network namespace, which the daemon's init made, and in
its private mount namespace: the names that `ip netns` gives are seen by this lab alone, and all of
it is gone with the last process.
"""

import json
from collections.abc import Sequence

from stackyard.lab.addresses import GATEWAY, LAN
from stackyard.lab.commands import run
from stackyard.lab.errors import LabError
from stackyard.lab.machine import Boot, card, static_addresses

BRIDGE = "br0"
# Sent when a card comes up: whoever knew another card by this address learns the new one at once.
ANNOUNCE = "echo 1 >/proc/sys/net/ipv4/conf/all/arp_notify && exec ip -batch -"


async def make_lan(addresses: Sequence[str], nameplate: str) -> None:
    """Make the bridge with the gateway's and the services' addresses; there is no route out.

    The nameplate is a card without a cable: see `visitors`.
    """
    lines = [
        "link set lo up",
        f"link add {nameplate} type bridge",
        f"link add {BRIDGE} type bridge",
        *(f"addr add {one}/{LAN.prefixlen} dev {BRIDGE}" for one in (GATEWAY, *addresses)),
        f"link set {BRIDGE} up",
    ]
    await run("ip", "-batch", "-", given="\n".join(lines))


def namespace(vmid: int) -> str:
    """Return the name of a machine's network namespace."""
    return f"vm-{vmid}"


def namespace_path(vmid: int) -> str:
    """Return where a machine's network namespace is to be opened."""
    return f"/run/netns/{namespace(vmid)}"


async def connect(boot: Boot) -> None:
    """Give a machine its network namespace, its cards on the bridge and their addresses.

    The addresses are set here, before the machine boots, and not by its cloud-init: a guest whose
    network is handed over cannot rename its cards, and so could not follow the network config.
    """
    await disconnect(boot.vmid)
    name = namespace(boot.vmid)
    await run("ip", "netns", "add", name)
    await run("ip", "-batch", "-", given="\n".join(_cables(boot, name)))
    inside = ("nsenter", f"--net={namespace_path(boot.vmid)}", "sh", "-c", ANNOUNCE)
    await run(*inside, given="\n".join(_cards(boot)))


async def disconnect(vmid: int) -> None:
    """Remove a machine's cards and its network namespace; nothing happens where there is none."""
    # The cards first: with the namespace alone the kernel would remove them some time later.
    links = json.loads(await run("ip", "-json", "link"))
    ports = [link["ifname"] for link in links if link["ifname"].startswith(_port(vmid, ""))]
    await run("ip", "-batch", "-", given="\n".join(f"link delete {port}" for port in ports))
    names = json.loads(await run("ip", "-json", "netns", "list") or "[]")
    if namespace(vmid) in {entry["name"] for entry in names}:
        await run("ip", "netns", "delete", namespace(vmid))


async def interfaces(vmid: int) -> list[dict[str, object]] | None:
    """Return the cards inside a machine's namespace as the guest agent tells them."""
    try:
        output = await run("ip", "-netns", namespace(vmid), "-json", "addr")
    except LabError:
        return None
    return [
        card(link["ifname"], link["address"], _told(link["addr_info"]))
        for link in json.loads(output)
        if link["link_type"] == "ether"
    ]


def _told(entries: list[dict[str, object]]) -> list[tuple[str, int]]:
    return [(str(one["local"]), int(str(one["prefixlen"]))) for one in entries]


def _port(vmid: int, number: int | str) -> str:
    """Return the bridge's end of a card's cable; a VMID has 9 digits at most, a name 15 letters."""
    return f"v{vmid}n{number}"


def _cables(boot: Boot, name: str) -> list[str]:
    lines = []
    for number, mac in enumerate(boot.macs):
        port = _port(boot.vmid, number)
        peer = f"name eth{number} address {mac.lower()} netns {name}"
        lines += [f"link add {port} type veth peer {peer}", f"link set {port} master {BRIDGE} up"]
    return lines


def _cards(boot: Boot) -> list[str]:
    given = static_addresses(boot)
    lines = ["link set lo up"]
    for number in range(len(boot.macs)):
        own = given[number] if number < len(given) else ()
        lines += [f"addr add {one.with_prefixlen} dev eth{number}" for one in own]
        lines.append(f"link set eth{number} up")
    if boot.gateway:
        lines.append(f"route add default via {boot.gateway}")
    return lines
