"""Servers that go away, hang, drip, or are none of Proxmox: what is said, and when it ends."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import Certificate, https_server

from stackyard.fleet import Site
from stackyard.proxmox import client as clients
from stackyard.proxmox import transport, unanswered, watch
from stackyard.proxmox.client import Client
from stackyard.proxmox.errors import ApiError, ConnectionFailedError, LostTaskError
from stackyard.proxmox.jobs import Jobs
from stackyard.proxmox.observe import observe
from stackyard.proxmox.settings import Settings

UPID = "UPID:node02:00000FA2:000AEFEF:6B0401D6:qmclone:9002:root@pam!stackyard:"
Say = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Server:
    """What answers, and a client of it; `told` is what the client said meanwhile."""

    url: str
    ca: Path
    say: Say
    told: list[str] = field(default_factory=list)

    def client(self, **environ: str) -> Client:
        login = {"PROXMOX_TOKEN_ID": "it", "PROXMOX_TOKEN_SECRET": "hush"}
        reached = {"PROXMOX_URL": self.url, "PROXMOX_CA": str(self.ca), "PROXMOX_USER": "root@pam"}
        settings = Settings.from_environment({**reached, **(environ or login)})
        return Client(settings, tell=self.told.append)


@pytest.fixture
def server(lab_certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that answers as its `say` does, to a client with a second of patience."""
    monkeypatch.setattr(clients, "READ_DEADLINE_SECONDS", 0.5)
    for module in (transport, unanswered):
        monkeypatch.setattr(module, "TIMEOUT_SECONDS", 1.0)
    for module in (transport, watch):
        monkeypatch.setattr(module, "SLOW_SECONDS", 0.3)
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.05)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found.say(self)

        def do_POST(self) -> None:
            self.do_GET()

        def do_PUT(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    with https_server(Handler, lab_certificate) as url:
        found = Server(url, lab_certificate[0], answer({"data": []}))
        yield found


def answer(document: Any, status: int = 200) -> Say:
    def say(handler: BaseHTTPRequestHandler) -> None:
        body = json.dumps(document).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return say


def hang(_handler: BaseHTTPRequestHandler) -> None:
    time.sleep(2)


def cut(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


def drip(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" ")
        time.sleep(0.1)


def drip_headers(handler: BaseHTTPRequestHandler) -> None:
    for letter in b"HTTP/1.1 200 " + b"O" * 100:
        handler.wfile.write(bytes([letter]))
        time.sleep(0.1)


@contextmanager
def refused(what: type[Exception] = ConnectionFailedError) -> Iterator[list[str]]:
    said: list[str] = []
    with pytest.raises(what) as caught:
        yield said
    said.append(str(caught.value))


def test_a_read_that_nobody_ever_answered_leads_to_the_address(server: Server) -> None:
    server.say = hang
    with server.client() as client, refused() as said:
        client.get("/nodes")
    assert said == [f"{server.url} did not answer in 1 s: check PROXMOX_URL"]
    assert server.told == [f"{server.url} has not answered for 0 s; waiting for up to 1 s"]


@contextmanager
def no_handshake() -> Iterator[int]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@contextmanager
def no_room() -> Iterator[int]:
    """A server whose queue is full, so that nothing comes back, as from an address of nobody."""
    with socket.socket() as listening, ExitStack() as waiting:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(3):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


@pytest.mark.parametrize("kind", [no_handshake, no_room])
def test_whoever_never_answered_is_not_waited_for_as_long(
    server: Server, kind: Callable[[], AbstractContextManager[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "FIRST_SECONDS", 0.2)
    monkeypatch.setattr(transport, "TIMEOUT_SECONDS", 600.0)
    with kind() as port:
        server.url = f"https://127.0.0.1:{port}"
        with server.client() as client, refused() as said:
            client.put("/nodes/node02/qemu/110/config", onboot=True)
    assert said == [
        f"cannot reach Proxmox at {server.url} (no connection in 0 s): check PROXMOX_URL"
    ]


def test_a_login_may_not_happen_later_either(server: Server) -> None:
    server.say = hang
    with server.client(PROXMOX_PASSWORD="hush") as client, refused() as said:
        client.get("/nodes")
    assert said == [f"{server.url} did not answer in 1 s: check PROXMOX_URL"]


def test_a_server_that_answered_before_has_a_right_address(server: Server) -> None:
    with server.client() as client:
        client.get("/nodes")
        server.say = hang
        with refused() as read:
            client.get("/nodes")
        with refused() as written:
            client.put("/nodes/node02/qemu/110/config", onboot=True)
        server.say = cut
        with refused() as broken:
            client.get("/nodes")
    assert read == [f"{server.url} did not answer in 1 s: try again"]
    assert written == [
        f"{server.url} did not answer in 1 s: what was asked may still happen, plan again"
    ]
    assert broken == [f"the connection to {server.url} broke before the answer came: try again"]


def test_many_requests_that_hang_are_told_of_once(server: Server) -> None:
    server.say = hang
    with server.client() as client:
        threads = [threading.Thread(target=_read_in_vain, args=(client,)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(server.told) == 1


def _read_in_vain(client: Client) -> None:
    with pytest.raises(ConnectionFailedError):
        client.get("/nodes")


@pytest.mark.parametrize("say", [drip, drip_headers])
def test_a_server_that_drips_is_given_up(server: Server, say: Say) -> None:
    server.say = say
    begun = time.monotonic()
    with server.client() as client, refused() as said:
        client.get("/nodes")
    assert said == [f"{server.url} did not answer in 1 s: check PROXMOX_URL"]
    assert time.monotonic() - begun < 8  # it would drip for ten


def test_a_task_that_was_accepted_is_lost_and_may_go_on(server: Server) -> None:
    with server.client() as client:
        server.say = answer({"data": UPID})
        begin = client.post("/nodes/node02/qemu/9002/clone", newid=110)
        for say, why in ((hang, "did not answer in 1 s"), (cut, "broke before the answer came")):
            server.say = say
            with refused(LostTaskError) as said:
                Jobs(client, 1).run("clone of web", lambda: begin)
            (text,) = said
            assert text.startswith("lost the connection: ")
            assert text.endswith(f"{why}; the task {UPID} may go on: run it again")


def test_a_server_that_went_away_is_not_sought_elsewhere(
    lab_certificate: Certificate, server: Server
) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer({"data": []})(self)

        def log_message(self, *_: Any) -> None:
            pass

    with https_server(Handler, lab_certificate) as server.url:
        client = server.client()
        client.get("/nodes")
    with client, refused() as said:
        client.get("/nodes")
    assert said == [
        f"cannot reach Proxmox at {server.url} any more (Connection refused): try again"
    ]


@pytest.mark.parametrize("data", [5, None, "text", ["a"], {"a": 1}, [{"a": 1}]])
def test_json_of_something_else_is_no_answer_of_proxmox(server: Server, data: Any) -> None:
    server.say = answer({"data": data})
    with server.client() as client, refused() as said:
        observe(client, (), Site(Path("site.yml"), {}, {}))
    assert said == [f"{server.url} answered, but not as a Proxmox API: check PROXMOX_URL"]


@pytest.mark.parametrize("data", [5, None, {"ticket": 5}])
def test_json_of_something_else_is_no_ticket(server: Server, data: Any) -> None:
    server.say = answer({"data": data})
    with server.client(PROXMOX_PASSWORD="hush") as client, refused() as said:
        client.get("/nodes")
    assert said == [f"{server.url} answered, but not as a Proxmox API: check PROXMOX_URL"]


def test_a_first_answer_of_404_leads_to_the_address_and_a_later_one_does_not(
    server: Server,
) -> None:
    server.say = answer({}, 404)
    with server.client() as client:
        for hint in (" (check PROXMOX_URL)", ""):
            with refused(ApiError) as said:
                client.get("/nodes")
            assert said == [f"Proxmox refused GET /nodes: 404 Not Found{hint}"]
    with server.client(PROXMOX_PASSWORD="hush") as client, refused(ApiError) as said:
        client.get("/nodes")
    assert said == ["Proxmox refused POST /access/ticket: 404 Not Found (check PROXMOX_URL)"]
