"""The package proxy: what is Debian's passes and is kept, all else is refused."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, web

from stackyard.lab.proxy import PackageProxy, Upstreams, is_immutable


@dataclass
class Archive:
    """A package archive that counts what it is asked."""

    asked: list[str] = field(default_factory=list)
    broken: bool = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Give each path a body of its own."""
        self.asked.append(request.path)
        if request.path.endswith("missing.deb"):
            raise web.HTTPNotFound
        if self.broken:
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b"half")
            raise ConnectionResetError
        if request.headers.get("If-Modified-Since"):
            raise web.HTTPNotModified
        return web.Response(body=f"body of {request.path}".encode())


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[int]:
    """Serve an application on a free port."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@dataclass
class World:
    """A client that asks an archive through the proxy."""

    client: ClientSession
    archive: Archive
    archive_port: int
    proxy_port: int
    cache: Path

    async def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Ask for a path of the archive as apt does: through the proxy."""
        url = f"http://127.0.0.1:{self.archive_port}{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        proxy = f"http://127.0.0.1:{self.proxy_port}"
        async with self.client.get(url, proxy=proxy, headers=named) as answer:
            return answer.status, await answer.read()


def in_world(tmp_path: Path, story: Callable[[World], Coroutine[None, None, None]]) -> None:
    """Run a story against an archive and a proxy in front of it."""

    async def run() -> None:
        archive = Archive()
        behind = web.Application()
        behind.router.add_route("*", "/{path:.*}", archive.answer)
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(ClientSession())
            dialer = await stack.enter_async_context(ClientSession(auto_decompress=False))
            port = await stack.enter_async_context(serving(behind))
            upstreams = Upstreams({f"127.0.0.1:{port}": "http"}, None)
            proxy = PackageProxy(upstreams, tmp_path, dialer)
            proxy_port = await stack.enter_async_context(serving(proxy.application()))
            await story(World(client, archive, port, proxy_port, tmp_path))

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_package_is_fetched_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        answers = await asyncio.gather(*(world.get("/pool/h/hello_1.deb") for _ in range(5)))
        assert set(answers) == {(200, b"body of /pool/h/hello_1.deb")}
        assert world.archive.asked == ["/pool/h/hello_1.deb"]

    in_world(tmp_path, story)


def test_what_changes_is_asked_each_time_with_apts_own_condition(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        assert (await world.get("/dists/bookworm/InRelease"))[0] == 200
        condition = {"If_Modified_Since": "Mon, 23 Nov 2026 00:00:00 GMT"}
        assert (await world.get("/dists/bookworm/InRelease", **condition))[0] == 304
        assert len(world.archive.asked) == 2

    in_world(tmp_path, story)


def test_what_is_not_there_or_breaks_off_is_not_kept(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        assert (await world.get("/pool/missing.deb"))[0] == 404
        world.archive.broken = True
        with pytest.raises(ClientError):
            await world.get("/pool/h/hello_1.deb")
        assert list(world.cache.iterdir()) == []
        world.archive.broken = False
        assert (await world.get("/pool/h/hello_1.deb"))[0] == 200

    in_world(tmp_path, story)


def test_other_hosts_and_methods_are_refused(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        proxy = f"http://127.0.0.1:{world.proxy_port}"
        async with world.client.get("http://other.example/x.deb", proxy=proxy) as answer:
            assert answer.status == 403
        allowed = f"http://127.0.0.1:{world.archive_port}/x.deb"
        async with world.client.post(allowed, proxy=proxy) as answer:
            assert answer.status == 403
        assert world.archive.asked == []

    in_world(tmp_path, story)


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/debian/pool/main/h/hello_2.deb", True),
        ("/debian/dists/bookworm/main/by-hash/SHA256/ab", True),
        ("/debian/dists/bookworm/InRelease", False),
        ("/debian/dists/bookworm/main/binary-amd64/Packages.xz", False),
    ],
)
def test_only_what_never_changes_is_kept(path: str, kept: bool) -> None:
    assert is_immutable(path) is kept
