"""The NoCloud documents that Proxmox writes for a VM, and the cloud-init calls."""

import hashlib
import ipaddress
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from urllib.parse import unquote

from stackyard.lab.api import formats
from stackyard.lab.api.call import Call
from stackyard.lab.api.cluster import Cluster
from stackyard.lab.api.devices import CICUSTOM, IPCONFIG, NET
from stackyard.lab.api.faults import ApiError
from stackyard.lab.api.options import CLOUD_INIT, indexed
from stackyard.lab.api.values import split_list
from stackyard.lab.api.vm import Vm, typed
from stackyard.lab.machine import Boot

_LISTED = tuple(name for name in CLOUD_INIT if "[" not in name)


def user_data(config: Mapping[str, str], vmid: int) -> str:
    """Return the user document of a configuration, as `cloudinit/dump?type=user` shows it."""
    name = config.get("name", f"VM{vmid}")
    host, _, domain = name.partition(".")
    domain = domain or config.get("searchdomain", "").partition(" ")[0]
    lines = ["#cloud-config", f"hostname: {host}", "manage_etc_hosts: true"]
    if domain:
        lines.append(f"fqdn: {host}.{domain}")
    user = config.get("ciuser")
    if user:
        lines.append(f"user: {user}")
    if user == "root":
        lines.append("disable_root: False")
    if "cipassword" in config:
        lines.append(f"password: {config['cipassword']}")
    keys = [line for line in unquote(config.get("sshkeys", "")).splitlines() if line.strip()]
    if keys:
        lines += ["ssh_authorized_keys:", *(f"  - {key}" for key in keys)]
    lines += ["chpasswd:", "  expire: False"]
    if user != "root":
        lines += ["users:", "  - default"]
    upgrade = "false" if config.get("ciupgrade") == "0" else "true"
    return "\n".join([*lines, f"package_upgrade: {upgrade}", ""])


def network_config(config: Mapping[str, str], nameservers: tuple[str, ...]) -> str:
    """Return the network document (version 1), as `cloudinit/dump?type=network` shows it."""
    lines = ["version: 1", "config:"]
    for number, net, ip in _cards(config):
        lines += [
            "    - type: physical",
            f"      name: eth{number}",
            f"      mac_address: '{net['macaddr'].lower()}'",
        ]
        subnets = [*_ipv4(ip), *_ipv6(ip)]
        if subnets:
            lines += ["      subnets:", *subnets]
    servers = split_list(config.get("nameserver", "")) or nameservers
    if servers:
        lines += ["    - type: nameserver", "      address:", *(f"      - '{s}'" for s in servers)]
        domains = config.get("searchdomain", "").split()
        if domains:
            lines += ["      search:", *(f"      - '{domain}'" for domain in domains)]
    return "\n".join([*lines, ""])


def _cards(config: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str], dict[str, str]]]:
    for number in sorted(n for family, n in map(indexed, config) if family == "net"):
        ip = formats.split(config.get(f"ipconfig{number}", ""), IPCONFIG)
        yield number, formats.split(config[f"net{number}"], NET), ip


def _ipv4(ip: Mapping[str, str]) -> list[str]:
    if "ip" not in ip:
        return []
    if ip["ip"] == "dhcp":
        return ["      - type: dhcp4"]
    address = ipaddress.IPv4Interface(ip["ip"])
    lines = [
        "      - type: static",
        f"        address: '{address.ip}'",
        f"        netmask: '{address.netmask}'",
    ]
    return [*lines, f"        gateway: '{ip['gw']}'"] if "gw" in ip else lines


def _ipv6(ip: Mapping[str, str]) -> list[str]:
    match ip.get("ip6"):
        case None:
            return []
        case "dhcp":
            return ["      - type: dhcp6"]
        case "auto":
            return ["      - type: ipv6_slaac"]
    lines = ["      - type: static6", f"        address: '{ip['ip6']}'"]
    return [*lines, f"        gateway: '{ip['gw6']}'"] if "gw6" in ip else lines


def documents(cluster: Cluster, vm: Vm, config: Mapping[str, str]) -> tuple[str, str, str]:
    """Return user, meta and network document; snippets of `cicustom` take their places.

    Raises:
        ApiError: a snippet is not there.
    """
    custom = formats.split(config.get("cicustom", ""), CICUSTOM)
    for volid in custom.values():
        _check_snippet(cluster, vm, volid)
    user = user_data(config, vm.vmid)
    network = network_config(config, cluster.platform.nameservers)
    content = f"{user}{network}{custom}".encode()
    instance = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    return user, f"instance-id: {instance}\n", network


def _check_snippet(cluster: Cluster, vm: Vm, volid: str) -> None:
    storage, _, name = volid.partition(":")
    folder = PurePosixPath(cluster.volumes.storage(storage, vm.node).path)
    if cluster.volumes.get(vm.node, volid) is None:
        raise ApiError(f"can't open '{folder / name}' - No such file or directory")


def boot(cluster: Cluster, vm: Vm) -> Boot:
    """Return what the machine behind a VM is started with; its cloud-init drive is written."""
    cards = list(_cards(vm.config))
    if vm.cloudinit_slot() is None:
        user = meta = network = ""
    else:
        user, meta, network = documents(cluster, vm, vm.config)
        vm.written = cloudinit_options(vm.config)
    given = [ip if network else {} for _, _, ip in cards]
    return Boot(
        vmid=vm.vmid,
        node=vm.node,
        name=vm.label,
        macs=tuple(net["macaddr"] for _, net, _ in cards),
        addresses=tuple(ip.get("ip", "") for ip in given),
        gateway=next((ip["gw"] for ip in given if "gw" in ip), ""),
        user_data=user,
        meta_data=meta,
        network_config=network,
    )


def cloudinit_options(config: Mapping[str, str]) -> dict[str, str]:
    return {name: config[name] for name in _LISTED if name in config}


async def list_options(call: Call) -> list[Mapping[str, object]]:
    """GET …/cloudinit: what the drive says and what it would say; ipconfigN is never listed."""
    vm = call.vm()
    written, wanted = vm.written, cloudinit_options(vm.config)
    found: list[Mapping[str, object]] = []
    for name in _LISTED:
        if name not in wanted and name not in written:
            continue
        entry: dict[str, object] = {"key": name}
        if not written or written.get(name) == wanted.get(name):
            entry["value"] = typed(name, wanted.get(name, ""))
        else:
            if name in written:
                entry["value"] = typed(name, written[name])
            entry |= {"pending": typed(name, wanted[name])} if name in wanted else {"delete": 1}
        found.append(entry)
    return found


async def regenerate(call: Call) -> None:
    """PUT …/cloudinit: write the drive anew."""
    vm = call.vm()
    vm.check_lock()
    async with call.cluster.locked(vm):
        documents(call.cluster, vm, vm.config)
        vm.written = cloudinit_options(vm.config)


async def dump(call: Call) -> str:
    """GET …/cloudinit/dump: one of the documents."""
    vm = call.vm()
    user, meta, network = documents(call.cluster, vm, vm.wanted)
    return {"user": user, "meta": meta, "network": network}[call.params["type"]]
