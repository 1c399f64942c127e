"""The machines' only way out: a proxy for the packages of this machine's own apt sources.

It listens inside the lab's LAN and dials from the machine's own network. Guests speak plain http;
the proxy dials with the scheme of the source and verifies TLS. All other hosts are refused.
"""

import asyncio
import hashlib
import logging
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, web
from yarl import URL

from stackyard.lab import namespaces

LOG = logging.getLogger(__name__)

CONDITIONS = ("If-Modified-Since", "Cache-Control")
KEPT = ("Content-Type", "Content-Length", "Last-Modified", "ETag", "Date")
CHUNK = 64 * 1024
SILENCE = ClientTimeout(total=None, sock_connect=30, sock_read=60)
OLD = 30 * 24 * 3600  # seconds after which a cached file goes


@dataclass(frozen=True, slots=True)
class Upstreams:
    """Where packages may come from."""

    schemes: Mapping[str, str]
    """The scheme of each host that may be asked."""
    proxy: str | None
    """The proxy that this machine's apt uses, which then is ours as well."""


@dataclass(slots=True)
class PackageProxy:
    """Answers the requests that apt sends to a proxy, from a cache on disk where it can."""

    upstreams: Upstreams
    cache: Path
    session: ClientSession
    _busy: dict[str, asyncio.Lock] = field(default_factory=dict)

    def application(self) -> web.Application:
        """Return the proxy as a web application."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        scheme = self.upstreams.schemes.get(request.url.authority) or self.upstreams.schemes.get(
            request.url.host or ""
        )
        if scheme is None or request.method not in {"GET", "HEAD"}:
            LOG.warning("refused %s %s", request.method, request.url.host)
            raise web.HTTPForbidden(text="the lab reaches this machine's Debian sources only\n")
        url = request.url.with_scheme(scheme)
        try:
            if request.method == "GET" and is_immutable(url.path):
                return await self._cached(request, url)
            return await self._passed(request, url, None)
        except (ClientError, TimeoutError) as error:
            LOG.warning("%s: %s", url, error)
            raise web.HTTPBadGateway(text=f"{url.host} did not answer: {error}\n") from error

    async def _cached(self, request: web.Request, url: URL) -> web.StreamResponse:
        file = self.cache / hashlib.sha256(str(url).encode()).hexdigest()
        # Machines installing the same package at once: one fetches it, the others wait for it.
        async with self._busy.setdefault(file.name, asyncio.Lock()):
            if not file.exists():
                return await self._passed(request, url, file)
        return web.FileResponse(file)

    async def _passed(
        self, request: web.Request, url: URL, file: Path | None
    ) -> web.StreamResponse:
        """Pass a request on; a file takes what comes back when it comes back whole."""
        # What is kept is asked for whole, whatever part of it the machine has already.
        wanted = () if file else CONDITIONS
        headers = {name: request.headers[name] for name in wanted if name in request.headers}
        headers["Accept-Encoding"] = "identity"
        async with self.session.request(
            request.method, url, headers=headers, proxy=self.upstreams.proxy
        ) as answer:
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            for name in KEPT:
                if name in answer.headers:
                    response.headers[name] = answer.headers[name]
            await response.prepare(request)
            try:
                await _copy(answer, response, file)
            except (ClientError, TimeoutError) as error:
                LOG.warning("%s broke off: %s", url, error)
                # Too late for a status: apt notices a connection that is cut, and tries again.
                if request.transport is not None:
                    request.transport.abort()
            else:
                await response.write_eof()
        return response


async def _copy(answer: ClientResponse, to: web.StreamResponse, file: Path | None) -> None:
    if file is None or answer.status != web.HTTPOk.status_code:
        async for chunk in answer.content.iter_chunked(CHUNK):
            await to.write(chunk)
        return
    part = file.with_suffix(".part")
    try:
        # Local disk: a write of this size is over before a thread would have started.
        with part.open("wb") as stream:
            async for chunk in answer.content.iter_chunked(CHUNK):
                stream.write(chunk)
                await to.write(chunk)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def is_immutable(path: str) -> bool:
    """Tell whether what an apt repository has at a path never changes."""
    return path.endswith(".deb") or "/by-hash/" in path


def start(
    listener: socket.socket, upstreams: Upstreams, cache: Path, network: int
) -> threading.Thread:
    """Serve on a socket of the LAN from a thread that dials in another network namespace.

    The namespace is an open descriptor. A socket belongs to the namespace it was made in, a
    thread's new sockets to the thread's own: so one process stands on both sides.
    """
    thread = threading.Thread(
        target=_serve, args=(listener, upstreams, cache, network), name="package proxy", daemon=True
    )
    thread.start()
    return thread


def _serve(listener: socket.socket, upstreams: Upstreams, cache: Path, network: int) -> None:
    namespaces.setns(network, namespaces.CLONE_NEWNET)
    cache.mkdir(parents=True, exist_ok=True)
    _forget_old(cache)
    asyncio.run(_serve_forever(listener, upstreams, cache))


async def _serve_forever(listener: socket.socket, upstreams: Upstreams, cache: Path) -> None:
    async with ClientSession(timeout=SILENCE, auto_decompress=False) as session:
        runner = web.AppRunner(
            PackageProxy(upstreams, cache, session).application(), access_log=None
        )
        await runner.setup()
        await web.SockSite(runner, listener).start()
        await asyncio.Event().wait()


def _forget_old(cache: Path) -> None:
    for file in cache.iterdir():
        if time.time() - file.stat().st_mtime > OLD:
            file.unlink()
