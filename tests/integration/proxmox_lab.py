"""A Proxmox endpoint of the lab in a thread of its own, as tests use it."""

import asyncio
import json
import secrets
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from requests import Session

from stackyard.lab.api.faults import Fault
from stackyard.lab.api.server import Endpoint
from stackyard.lab.machine import Machines
from stackyard.lab.platform_file import parse_platform

Result = TypeVar("Result")

# The example platform without its delays, and with the waits of a real server cut to nothing.
FAST: Mapping[str, Any] = {
    "latency": {"clone": 0.02, "resize": 0, "start": 0},
    "timing": {"auth_failure": 0, "agent": 0, "statd": 10, "lock": 5},
}


@dataclass
class ProxmoxEndpoint:
    """A running endpoint: where it is, how to get in, and what it was asked."""

    endpoint: Endpoint
    machines: Machines
    loop: asyncio.AbstractEventLoop
    url: str
    ca: Path
    secrets: Mapping[str, str] = field(repr=False)
    log: Path
    token_id: str

    @property
    def token_secret(self) -> str:
        return self.secrets[self.token_id]

    @property
    def environ(self) -> dict[str, str]:
        """The variables that point the product at this endpoint."""
        return {
            "PROXMOX_URL": self.url,
            "PROXMOX_USER": "root@pam",
            "PROXMOX_TOKEN_ID": self.token_id.partition("!")[2],
            "PROXMOX_TOKEN_SECRET": self.token_secret,
            "PROXMOX_CA": str(self.ca),
        }

    def requests(self) -> list[dict[str, Any]]:
        """Return the log of requests, oldest first."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def forget_requests(self) -> None:
        """Start the log of requests anew."""
        self.log.write_text("")

    def set_fault(self, method: str, path: str, **how: Any) -> None:
        """Let the next requests that match fail (see `stackyard.lab.api.faults.Fault`)."""
        self.endpoint.set_fault(Fault(method, path, **how))

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run something in the endpoint's own loop, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def session(self) -> Session:
        """Return a session with the full token; close it."""
        session = Session()
        session.trust_env = False
        session.verify = str(self.ca)
        session.headers["Authorization"] = f"PVEAPIToken={self.token_id}={self.token_secret}"
        return session

    def call(self, method: str, path: str, **form: str | int) -> Any:
        """Make one call with the full token and return its data; fails unless it answers 200."""
        query, body = (form, None) if method in ("GET", "DELETE") else (None, form)
        with self.session() as session:
            url = f"{self.url}/api2/json{path}"
            answer = session.request(method, url, params=query, data=body)
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.reason}"
        return answer.json()["data"]

    def task(self, upid: str) -> str:
        """Wait for a task and return its exit status."""
        node = upid.split(":")[1]
        with self.session() as session:
            while True:
                path = f"/api2/json/nodes/{node}/tasks/{upid}/status"
                status = session.get(self.url + path).json()["data"]
                if status["status"] == "stopped":
                    return str(status["exitstatus"])


StartEndpoint = Callable[..., ProxmoxEndpoint]


def start_endpoint(
    document: Mapping[str, Any], machines: Machines, log: Path, certificate: tuple[Path, Path, Path]
) -> tuple[ProxmoxEndpoint, threading.Thread]:
    """Start an endpoint on a free port, its loop in a thread of its own."""
    platform = parse_platform(document, "the test's platform")
    ca, cert, key = certificate
    known = {name: secrets.token_hex(16) for name in platform.identities}
    endpoint = Endpoint(platform, machines, log, cert, key, secrets=known)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxmox-endpoint", daemon=True)
    thread.start()
    with ExitStack() as undo:
        undo.callback(end_loop, loop, thread)
        asyncio.run_coroutine_threadsafe(endpoint.start([("127.0.0.1", 0)]), loop).result(10)
        undo.pop_all()
    url = f"https://127.0.0.1:{endpoint.ports[0]}"
    token = next(name for name in known if "!" in name)
    return ProxmoxEndpoint(endpoint, machines, loop, url, ca, known, log, token), thread


def end_loop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    """End a loop and the thread it runs in."""
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()
