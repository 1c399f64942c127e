"""The web server: one HTTPS endpoint on all addresses of the cluster."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web

from stackyard.lab.api import request, views
from stackyard.lab.api.answer import Asked
from stackyard.lab.api.auth import Authority
from stackyard.lab.api.cluster import Cluster
from stackyard.lab.api.faults import ApiError, Fault, TaskFault
from stackyard.lab.api.power import switch_on
from stackyard.lab.api.requestlog import RequestLog
from stackyard.lab.api.seed import seed
from stackyard.lab.machine import Machines
from stackyard.lab.platform import Platform
from stackyard.lab.tls import fingerprint

_PREFIX = "/api2/json"
_LARGEST_BODY = 4 * 1024**2
_PATIENCE = 1.0  # seconds that stopping waits for requests still being answered


class Endpoint:
    """The Proxmox VE API of one cluster; every address serves all nodes, as pveproxy does.

    `secrets` has one for each of the platform's `identities`: passwords of users, and token
    secrets by `user@realm!token`.
    """

    def __init__(  # noqa: PLR0913 - a server is made of these, once
        self,
        platform: Platform,
        machines: Machines,
        request_log: Path | None,
        cert: Path,
        key: Path,
        *,
        secrets: Mapping[str, str],
    ) -> None:
        self.cluster = Cluster(platform, machines)
        self.cluster.certificate = fingerprint(cert)
        self._authority = Authority(platform, secrets)
        self._log = RequestLog(request_log)
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(cert, key)
        self._faults: list[Fault] = []
        self._runner: web.AppRunner | None = None
        self._statd: asyncio.Task[None] | None = None
        self.ports: tuple[int, ...] = ()

    async def start(self, bind: Sequence[tuple[str, int]]) -> None:
        """Make the platform's VMs and serve on these addresses; port 0 takes a free one.

        Raises:
            PlatformError: a VM of the platform is one that the API would refuse.
            OSError: an address or a port cannot be had.
        """
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self.stop)
            for vm in seed(self.cluster):
                await switch_on(self.cluster, vm)
            await self._listen(bind)
            self._statd = asyncio.create_task(self._watch())
            undo.pop_all()

    async def _listen(self, bind: Sequence[tuple[str, int]]) -> None:
        application = web.Application(client_max_size=_LARGEST_BODY)
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=_PATIENCE)
        await self._runner.setup()
        for host, port in bind:
            await web.TCPSite(self._runner, host, port, ssl_context=self._tls).start()
        self.ports = tuple(address[1] for address in self._runner.addresses)

    async def stop(self) -> None:
        """Stop serving and all workers; the machines are left as they are."""
        if self._statd:
            self._statd.cancel()
            await asyncio.gather(self._statd, return_exceptions=True)
        await self.cluster.close()
        if self._runner:
            await self._runner.cleanup()
        self._log.close()

    async def _watch(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(self.cluster.platform.timing.statd)

    def look(self) -> None:
        """Do one round of pvestatd: /cluster/resources shows what it sees now."""
        cluster = self.cluster
        cluster.seen = {v.vmid: views.statd_entry(cluster, v) for v in cluster.vms.values()}

    def take_down(self, node: str, reason: str = "Connection refused") -> None:
        """Let a node's API be out of reach: 595 with this reason for all its paths."""
        self.cluster.down[node] = reason

    def bring_up(self, node: str) -> None:
        """Let a node's API answer again."""
        self.cluster.down.pop(node, None)

    def set_quorum(self, *, quorate: bool) -> None:
        """Let the cluster have lost its quorum (writes are refused), or have it again."""
        self.cluster.quorum = quorate

    def set_fault(self, fault: Fault | TaskFault) -> None:
        """Let the next requests, or tasks, that match fail."""
        if isinstance(fault, TaskFault):
            self.cluster.tasks.faults.append(fault)
        else:
            self._faults.append(fault)

    def clear_faults(self) -> None:
        """Let nothing fail any more that was ordered to."""
        self._faults.clear()
        self.cluster.tasks.faults.clear()

    async def restart_pveproxy(self, seconds: float) -> None:
        """Close all connections and refuse new ones for so long; the cluster goes on meanwhile."""
        if self._runner:
            bound = [address[:2] for address in self._runner.addresses]
            await self._runner.cleanup()
            await asyncio.sleep(seconds)
            await self._listen([(host, port) for host, port in bound])

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        path = http.raw_path.partition("?")[0].removeprefix(_PREFIX)
        asked = Asked(self.cluster, self._authority, path)
        fault = next((f for f in self._faults if f.strikes(http.method, path)), None)
        status = 0
        try:
            if fault and fault.meanwhile:
                fault.meanwhile()
                fault = None
            response = await (_fail(fault, asked, http) if fault else asked.answer(http))
            status = response.status
        finally:
            self._log.write(http.method, path, status, asked)
        return response


async def _fail(fault: Fault, asked: Asked, http: web.Request) -> web.Response:
    if fault.after:
        await asked.answer(http)
    if fault.drop and http.transport:
        http.transport.abort()
    return request.failure(ApiError(fault.reason, fault.status))
