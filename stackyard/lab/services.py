"""Everything a lab serves, started in order: LAN, package proxy, mirror, OpenBao, Proxmox."""

import logging
import secrets
import socket
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web

from stackyard.lab import mirror, namespaces, network, proxy, sshkey, tls, vault
from stackyard.lab.addresses import (
    GATEWAY,
    LOOPBACK,
    PACKAGE_PROXY_PORT,
    Addresses,
    in_lan,
    lab_id,
    on_loopback,
)
from stackyard.lab.api.server import Endpoint
from stackyard.lab.cgroups import MOUNTED
from stackyard.lab.environment import Access, administrator, variables
from stackyard.lab.folder import Folder, write_json, write_private
from stackyard.lab.image import PACKAGES
from stackyard.lab.isolation import Outside
from stackyard.lab.machine import Machines, Simulated
from stackyard.lab.machines import Nspawn
from stackyard.lab.platform import Platform
from stackyard.lab.platform_file import load_platform
from stackyard.lab.settings import Services, Settings
from stackyard.lab.sources import ETC_APT, apt_proxy, codename, debian_sources
from stackyard.lab.visitors import nameplate

LOG = logging.getLogger(__name__)

# Where the daemon sees the image and the machines' disks: short paths without a sign that would
# mean something to overlayfs or systemd-nspawn, wherever the lab's folder is.
IMAGE = Path("/run/stackyard/image")
DISKS = Path("/run/stackyard/machines")


async def serve(
    folder: Folder, settings: Settings, outside: Outside | None, stack: AsyncExitStack
) -> None:
    """Start everything and say so in the lab's folder; the stack stops it again."""
    platform = load_platform(Path(settings.platform))
    addresses = _addresses(platform, settings)
    _certify(folder, platform, addresses)
    identities = {name: secrets.token_urlsafe(24) for name in platform.identities}
    write_json(folder.identities, identities)
    public_key = sshkey.make_key(folder.ssh_key, platform.name)
    machines = await _machines(folder, settings, addresses, outside, stack)
    mirror_url = await _mirror(addresses, stack)
    store = await vault.start(
        folder, addresses.vault, addresses.vault_port or _free_port(addresses.vault)
    )
    stack.push_async_callback(store.stop)
    endpoint = Endpoint(
        platform,
        machines,
        secrets=identities,
        request_log=folder.requests,
        cert=folder.certificate,
        key=folder.certificate_key,
    )
    await endpoint.start([(host, addresses.proxmox_port) for host in addresses.proxmox])
    stack.push_async_callback(endpoint.stop)
    proxmox = f"https://{addresses.proxmox[0]}:{endpoint.ports[0]}"
    services = Services(proxmox, store.url, mirror_url)
    user, token = administrator(platform)
    access = Access(user, token, identities[f"{user}!{token}"], store.token, public_key)
    write_json(folder.environment, variables(folder, services, access))
    services.save(folder)
    LOG.info("everything answers: %s", services)


def _addresses(platform: Platform, settings: Settings) -> Addresses:
    if settings.simulated:
        return on_loopback()
    return in_lan(node.address for node in platform.nodes.values())


def _certify(folder: Folder, platform: Platform, addresses: Addresses) -> None:
    authority = tls.make_authority(f"stackyard lab {platform.name}")
    names = [platform.name, *platform.nodes, "vault", "localhost"]
    server = tls.make_server(authority, names, tuple(dict.fromkeys((*addresses.hosts, LOOPBACK))))
    write_private(folder.authority, authority.pem)
    write_private(folder.certificate, server.certificate)
    write_private(folder.certificate_key, server.key)


async def _machines(
    folder: Folder,
    settings: Settings,
    addresses: Addresses,
    outside: Outside | None,
    stack: AsyncExitStack,
) -> Machines:
    if settings.simulated or outside is None:
        return Simulated()
    folder.machines.mkdir(mode=0o700, exist_ok=True)
    for source, target in ((Path(settings.image), IMAGE), (folder.machines, DISKS)):
        target.mkdir(parents=True)
        namespaces.bind(source, target)
    await network.make_lan(addresses.hosts, nameplate(folder.path))
    sources = debian_sources(ETC_APT, codename())
    upstreams = proxy.Upstreams({one.host: one.scheme for one in sources}, apt_proxy())
    listener = socket.create_server((GATEWAY, PACKAGE_PROXY_PORT))
    proxy.start(listener, upstreams, Path(settings.cache) / PACKAGES, outside.network)
    machines = Nspawn(IMAGE, DISKS, MOUNTED / lab_id(folder.path))
    stack.push_async_callback(machines.close)
    return machines


async def _mirror(addresses: Addresses, stack: AsyncExitStack) -> str:
    runner = web.AppRunner(mirror.application(), access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, addresses.mirror, addresses.mirror_port).start()
    host, port = runner.addresses[0][:2]
    return f"http://{host}" if port == addresses.mirror_port else f"http://{host}:{port}"


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as probe:
        port: int = probe.getsockname()[1]
    return port
