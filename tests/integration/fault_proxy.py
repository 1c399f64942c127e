"""An HTTPS proxy before a Vault that answers wrongly, late or not at all, as it is told."""

import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

Certificate = tuple[Path, Path, Path]


@dataclass(frozen=True)
class Fault:
    """What happens to one request; without a status it is cut."""

    status: int = 0
    body: str = '{"errors": ["as it was told"]}'
    kind: str = "application/json"
    location: str = ""  # to which a redirect leads
    forwarded: bool = False  # it takes effect before
    seconds: float = 0.0  # that it waits
    meanwhile: Callable[[], object] = lambda: None  # what others do before the answer
    late: bool = False  # then it takes effect and is answered as if nothing had been


@dataclass
class Proxy:
    """The faults of the next reads and writes; a last one that `stays` is never used up."""

    url: str
    reads: deque[Fault] = field(default_factory=deque)
    writes: deque[Fault] = field(default_factory=deque)
    stays: Fault | None = None
    asked: int = 0

    def next(self, method: str) -> Fault | None:
        """Return the fault of the next request of a method."""
        self.asked += 1
        faults = self.reads if method in {"GET", "LIST"} else self.writes
        return faults.popleft() if faults else self.stays


@contextmanager
def fault_proxy(behind: str, ca: str, certificate: Certificate) -> Iterator[Proxy]:
    """Run a proxy on loopback before `behind`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fault = proxy.next(self.command)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = forward(self, body) if fault is None or fault.forwarded else Fault()
            fault = fault or answer
            fault.meanwhile()
            time.sleep(fault.seconds)
            if fault.late:
                fault = forward(self, body)
            if fault.status:
                self.send_response(fault.status)
                self.send_header("Content-Type", fault.kind)
                self.send_header("Location", fault.location)
                self.send_header("Content-Length", str(len(fault.body.encode())))
                self.end_headers()
                self.wfile.write(fault.body.encode())

        do_POST = do_PUT = do_DELETE = do_LIST = do_GET  # noqa: N815 - the server's names

        def log_message(self, *_: Any) -> None:
            pass

    def forward(handler: Handler, body: bytes) -> Fault:
        with requests.Session() as session:
            session.trust_env = False
            names = ("X-Vault-Token", "X-Vault-Request", "Content-Type")
            answer = session.request(
                handler.command,
                f"{behind}{handler.path}",
                data=body,
                headers={name: handler.headers[name] for name in names if handler.headers[name]},
                verify=ca,
                timeout=10,
            )
            return Fault(answer.status_code, answer.text, answer.headers.get("Content-Type", ""))

    with https_server(Handler, certificate) as url:
        proxy = Proxy(url)
        yield proxy


@contextmanager
def https_server(handler: type[BaseHTTPRequestHandler], certificate: Certificate) -> Iterator[str]:
    """Serve over TLS on a port of loopback; return the address."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Clients that leave are expected here."""

    server = Server(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[1], certificate[2])
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
