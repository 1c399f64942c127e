"""How a node finds and trusts the server it joins, and how it registers there."""

import base64
import hashlib
import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .log import FatalError
from .tokens import Token

SECONDS = 10.0


@dataclass(frozen=True)
class Joined:
    """A server that was found to be the one the token means."""

    url: str
    ca: str
    password: str

    def register(self, record: Mapping[str, Any]) -> None:
        """Register a node, or send its heartbeat; OSError when the server does not take it."""
        self._call("/v1-k3s/node", json.dumps(record).encode())

    def check(self) -> None:
        """Make sure that the server takes the password; OSError when it does not."""
        self._call("/v1-k3s/readyz", None)

    def _call(self, path: str, body: bytes | None) -> None:
        credentials = base64.b64encode(f"node:{self.password}".encode()).decode("ascii")
        headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
        _fetch(f"{self.url}{path}", ssl.create_default_context(cadata=self.ca), headers, body)


def verify(url: str, token: Token) -> Joined:
    """Return the server behind a URL; FatalError when the token is not one of its cluster."""
    if urlsplit(url).scheme != "https":
        raise FatalError(f"only https:// URLs are supported, invalid scheme: {url}")
    base = url.rstrip("/")
    try:
        ca = _fetch(f"{base}/cacerts", _unverified(), {}, None)
    except OSError as error:
        raise FatalError(f"failed to get CA certs: {base}/cacerts: {error}") from None
    found = hashlib.sha256(ca).hexdigest()
    if token.ca_hash and token.ca_hash != found:
        raise FatalError(
            "token CA hash does not match the Cluster CA certificate hash: "
            f"{token.ca_hash} != {found}"
        )
    joined = Joined(base, ca.decode("ascii"), token.password)
    try:
        joined.check()
    except OSError as error:
        raise FatalError(f"{base}/v1-k3s/readyz: {error}") from None
    return joined


def _unverified() -> ssl.SSLContext:
    """Return a context for the one request that fetches the CA; the token's hash verifies it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _fetch(
    url: str, context: ssl.SSLContext, headers: Mapping[str, str], body: bytes | None
) -> bytes:
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(
        parts.hostname or "", parts.port, timeout=SECONDS, context=context
    )
    try:
        connection.request("GET" if body is None else "POST", parts.path, body, dict(headers))
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise OSError(f"{response.status} {response.reason}")
    return content
