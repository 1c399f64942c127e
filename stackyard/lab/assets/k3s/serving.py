"""HTTPS for the API and for nodes that join: one thread a connection, client certificates."""

import base64
import hmac
import json
import socket
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from . import api, nodes
from .api import JSON, TEXT, Answer, Api, StatusError
from .log import FatalError
from .pki import Pki
from .tables import table

HANDSHAKE_SECONDS = 10.0
IDLE_SECONDS = 3600.0
LARGEST_BODY = 1 << 20
WATCH_SECONDS = 1800
LOOK_SECONDS = 1.0

JOIN = "/v1-k3s/"
REGISTER = "/v1-k3s/node"


class Server(ThreadingHTTPServer):
    """The listener; its handlers reach the cluster through it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], cluster: Api, pki: Pki, password: str) -> None:
        self.cluster, self.password = cluster, password
        self.ca = pki.server_ca.cert.read_bytes()
        self.tls = _context(pki)
        try:
            super().__init__(address, Handler)
        except OSError as error:
            reason = (error.strerror or "").lower()
            raise FatalError(f"listen tcp {address[0]}:{address[1]}: bind: {reason}") from None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Drop a connection that broke, as any server does; other errors are errors."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _context(pki: Pki) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pki.serving.cert, pki.serving.key)
    context.load_verify_locations(pki.client_ca.cert)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    server: Server
    connection: ssl.SSLSocket

    def setup(self) -> None:
        """Shake hands here, in the connection's own thread: a slow client delays nobody."""
        self.request.settimeout(HANDSHAKE_SECONDS)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        self.request.settimeout(IDLE_SECONDS)
        super().setup()

    def finish(self) -> None:
        """Close our side of TLS as well."""
        super().finish()
        self.request.close()

    def do_GET(self) -> None:
        """Answer a GET."""
        url = urlsplit(self.path)
        params = dict(parse_qsl(url.query, keep_blank_values=True))
        try:
            if params.get("watch") in ("true", "1") and self._authenticated():
                self._watch(api.query(url.path, params, self.headers.get("Accept", "")), params)
                return
            self._send(self._get(url.path, params))
        except StatusError as refusal:
            self._send(refusal.answer())

    def do_POST(self) -> None:
        """Register a node, or refuse: the API itself is read-only."""
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), LARGEST_BODY))
        try:
            if self.path == REGISTER and self._knows_password():
                self.server.cluster.nodes.register(json.loads(body))
                self._send(Answer(200, b"{}"))
                return
            raise api.READ_ONLY if self._authenticated() else api.UNAUTHORIZED
        except StatusError as refusal:
            self._send(refusal.answer())

    def do_PUT(self) -> None:
        """Refuse."""
        self.do_POST()

    def do_PATCH(self) -> None:
        """Refuse."""
        self.do_POST()

    def do_DELETE(self) -> None:
        """Refuse."""
        self.do_POST()

    def log_message(self, *_words: Any) -> None:
        """Keep the journal free of requests, as K3s does."""

    def _get(self, path: str, params: dict[str, str]) -> Answer:
        if path == "/ping":
            return Answer(200, b"pong", TEXT)
        if path == "/cacerts":
            return Answer(200, self.server.ca, TEXT)
        if path.startswith(JOIN):
            return self._joining(path)
        if not self._authenticated():
            raise api.UNAUTHORIZED
        return self.server.cluster.get(path, params, self.headers.get("Accept", ""))

    def _joining(self, path: str) -> Answer:
        if not self._knows_password():
            raise api.UNAUTHORIZED
        if path != "/v1-k3s/readyz":
            raise api.UNKNOWN
        return Answer(200, b"ok", TEXT)

    def _authenticated(self) -> bool:
        """Whether the client showed a certificate; TLS has already refused a wrong one."""
        return bool(self.connection.getpeercert())

    def _knows_password(self) -> bool:
        scheme, _, encoded = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic":
            return False
        try:
            password = base64.b64decode(encoded, validate=True).partition(b":")[2]
        except ValueError:
            return False
        return hmac.compare_digest(password, self.server.password.encode())

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _watch(self, wanted: api.Query, params: dict[str, str]) -> None:
        """Send what there is and then what changes, until the client's time is over."""
        if params.get("sendInitialEvents"):
            raise StatusError(400, "BadRequest", "sendInitialEvents is forbidden for watch")
        end = time.monotonic() + float(params.get("timeoutSeconds") or WATCH_SECONDS)
        seen: dict[str, nodes.Document] = {}
        if params.get("resourceVersion", "0") != "0":
            seen = {one["metadata"]["name"]: one for one in self.server.cluster.select(wanted)}
        self.send_response(200)
        self.send_header("Content-Type", JSON)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while time.monotonic() < end:
            for one in self.server.cluster.select(wanted):
                before = seen.get(one["metadata"]["name"])
                if before is None or _state(before) != _state(one):
                    self._event("ADDED" if before is None else "MODIFIED", one, wanted)
                seen[one["metadata"]["name"]] = one
            time.sleep(LOOK_SECONDS)
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, kind: str, item: nodes.Document, wanted: api.Query) -> None:
        version = item["metadata"]["resourceVersion"]
        shown = table(wanted.kind, [item], version) if wanted.as_table else item
        line = json.dumps({"type": kind, "object": shown}).encode() + b"\n"
        self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
        self.wfile.flush()


def _state(item: nodes.Document) -> object:
    """Return what of an object counts as a change: heartbeats alone do not."""
    conditions = item.get("status", {}).get("conditions", [])
    return item["metadata"]["resourceVersion"], [(one["type"], one["status"]) for one in conditions]
