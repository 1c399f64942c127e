"""The mirror from which roles fetch what they install: `<base>/k3s/<version>/<artefact>`.

Paths are those of K3s' releases: `k3s` (amd64) and `k3s-<arch>`, `sha256sum-<arch>.txt`; the `+`
of a version comes as `%2B`. What is served is the lab's stand-in with the version asked for.
"""

import hashlib
import re

from aiohttp import web

from stackyard.lab import standins

VERSION = re.compile(r"v1\.\d+\.\d+(-rc\d+)?\+k3s\d+")
# The stand-in is a Python program, so each architecture is served the same one.
BINARIES = {"k3s": "amd64", "k3s-arm64": "arm64", "k3s-armhf": "arm"}


def application() -> web.Application:
    """Return the mirror as a web application."""
    app = web.Application()
    app.router.add_get("/", _index)
    app.router.add_get("/k3s/{version}/{artefact}", _k3s)
    return app


async def _index(_request: web.Request) -> web.Response:
    return web.Response(text="stackyard lab mirror: k3s/<version>/{k3s,sha256sum-amd64.txt}\n")


async def _k3s(request: web.Request) -> web.Response:
    version, artefact = request.match_info["version"], request.match_info["artefact"]
    if not VERSION.fullmatch(version):
        raise web.HTTPNotFound(text=f"no release {version}\n")
    if artefact in BINARIES:
        return web.Response(body=standins.k3s(version), content_type="application/octet-stream")
    if sums := checksums(version).get(artefact):
        return web.Response(text=sums)
    raise web.HTTPNotFound(text=f"release {version} has no {artefact}\n")


def checksums(version: str) -> dict[str, str]:
    """Return the checksum files of a release, computed of exactly what is served."""
    digest = hashlib.sha256(standins.k3s(version)).hexdigest()
    return {f"sha256sum-{arch}.txt": f"{digest}  {name}\n" for name, arch in BINARIES.items()}
