"""HTTPS to Proxmox: verified by authority or by pinned certificate, and by nothing else.

Python's environment variables for proxies and certificates, and ~/.netrc, are not consulted:
REQUESTS_CA_BUNDLE would otherwise replace a pinned certificate without a word. It is urllib3
alone, because requests takes more processor time for a request than Proxmox takes to answer it,
and a plan of a thousand VMs is a thousand requests.
"""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from stackyard.proxmox.errors import ConnectionFailedError
from stackyard.proxmox.settings import Settings

POOL_SIZE = 16  # pveproxy serves with three workers a node: more in flight gains nothing
KEPT_CONNECTIONS = 64  # an apply has as many threads, which mostly wait between their requests
TIMEOUT_SECONDS = 60.0  # pveproxy itself gives up on another node after about 30 s
_LOGIN = "/access/ticket"
_REDIRECTS = range(300, 400)

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, under the names that proxmoxer reads."""

    url: str
    status_code: int
    reason: str
    content: bytes


class Session:
    """Kept-alive connections to one server, for many threads; `sign` gives each request's headers.

    Has of requests' sessions what proxmoxer calls.
    """

    def __init__(self, settings: Settings, sign: Callable[[str], Headers]) -> None:
        self._settings = settings
        self._sign = sign
        self._pool = _pool(settings)

    def request(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Send a request and read its answer, once.

        Raises:
            ConnectionFailedError: no answer came, or a redirection; caused by urllib3's exception.
        """
        target = urlsplit(url).path + (f"?{urlencode(params, doseq=True)}" if params else "")
        headers = {"Accept": "application/json", **self._sign(method)}
        body = None
        if data:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(data, doseq=True)
        try:
            answer = self._pool.urlopen(
                method, target, body=body, headers=headers, redirect=False, retries=False
            )
        except HTTPError as error:
            may_change = method != "GET" and not target.endswith(_LOGIN)
            raise explain(error, self._settings, may_change=may_change) from error
        if answer.status in _REDIRECTS:
            raise ConnectionFailedError(
                f"{self._settings.url} sends us elsewhere, which no Proxmox API does: "
                "check PROXMOX_URL"
            )
        return Answer(url, answer.status, answer.reason or "", answer.data)

    def close(self) -> None:
        """Close the kept connections."""
        self._pool.close()


def _pool(settings: Settings) -> urllib3.HTTPSConnectionPool:
    parts = urlsplit(settings.url)
    host, size = parts.hostname or "", KEPT_CONNECTIONS
    if settings.fingerprint:  # it is checked instead of the chain, which means nothing beside it
        return urllib3.HTTPSConnectionPool(
            host,
            parts.port,
            maxsize=size,
            timeout=TIMEOUT_SECONDS,
            cert_reqs="CERT_NONE",
            assert_fingerprint=settings.fingerprint,
        )
    ca = _readable(settings.ca) if settings.ca else None  # None: the system's authorities
    return urllib3.HTTPSConnectionPool(
        host, parts.port, maxsize=size, timeout=TIMEOUT_SECONDS, ca_certs=ca
    )


def _readable(ca: Path) -> str:
    try:
        ssl.create_default_context(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise ConnectionFailedError(
            f"PROXMOX_CA names {ca}, which cannot be read as PEM certificates: "
            f"{getattr(error, 'strerror', None) or error}"
        ) from error
    return str(ca)


def was_broken(error: BaseException | None) -> bool:
    """Tell whether there was no connection or it broke, rather than being distrusted or slow."""
    return isinstance(error, ProtocolError | NewConnectionError | ConnectTimeoutError)


def was_refused(error: BaseException) -> bool:
    """Tell whether a connection was refused, so that nothing can have been applied."""
    return any(isinstance(cause, ConnectionRefusedError) for cause in _causes(error))


def explain(error: HTTPError, settings: Settings, *, may_change: bool) -> ConnectionFailedError:
    """Turn an exception of urllib3 into a sentence; what changes nothing can simply be repeated."""
    url, causes = settings.url, _causes(error)
    text = " ".join(str(cause) for cause in causes)
    if "ingerprints did not match" in text:
        return ConnectionFailedError(
            f"the certificate of {url} is not the pinned one: compare PROXMOX_FINGERPRINT with "
            "the node's certificate"
        )
    if isinstance(error, SSLError):
        return ConnectionFailedError(
            f"the certificate of {url} is not trusted ({_tls_reason(causes)}): set PROXMOX_CA to "
            "the cluster's authority, or PROXMOX_FINGERPRINT"
        )
    if isinstance(error, ReadTimeoutError | ConnectTimeoutError) and not isinstance(
        error, NewConnectionError
    ):
        advice = "what was asked may still happen, plan again" if may_change else "try again"
        return ConnectionFailedError(f"{url} did not answer in {TIMEOUT_SECONDS:.0f} s: {advice}")
    if isinstance(error, ProtocolError):
        advice = "what was asked may have happened, apply again" if may_change else "try again"
        return ConnectionFailedError(
            f"the connection to {url} broke before the answer came: {advice}"
        )
    system = next((c for c in causes if isinstance(c, OSError) and c.strerror), None)
    reason = system.strerror if system else type(error).__name__
    return ConnectionFailedError(f"cannot reach Proxmox at {url} ({reason}): check PROXMOX_URL")


def _tls_reason(causes: list[BaseException]) -> str:
    checked = (c for c in causes if isinstance(c, ssl.SSLCertVerificationError))
    failed = next(checked, None)
    return failed.verify_message if failed else "TLS failed"


def _causes(error: BaseException) -> list[BaseException]:
    """Return an exception and all it was made of, which urllib3 keeps in several places."""
    found: list[BaseException] = []
    queue: list[object] = [error]
    while queue:
        item = queue.pop(0)
        if isinstance(item, BaseException) and item not in found:
            found.append(item)
            queue += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]
    return found
