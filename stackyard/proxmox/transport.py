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
from urllib3.exceptions import HTTPError, ReadTimeoutError

from stackyard.proxmox.errors import ConnectionFailedError
from stackyard.proxmox.settings import Settings
from stackyard.proxmox.unanswered import TIMEOUT_SECONDS, Asked, explain, took_too_long
from stackyard.proxmox.watch import SLOW_SECONDS, Watch, WatchedConnection

KEPT_CONNECTIONS = 64  # an apply has as many threads, which mostly wait between their requests
FIRST_SECONDS = 10.0  # for a connection to a server that never answered: most likely there is none
LEAVING_SECONDS = 2.0  # for an answer, once nobody wants to wait any more
_REDIRECTS = range(300, 400)

_LOGIN = "/access/ticket"  # a POST that changes nothing

Headers = Mapping[str, str]
Tell = Callable[[str], None]


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

    def __init__(
        self,
        settings: Settings,
        sign: Callable[[str], Headers],
        tell: Tell,
        was_answered: bool = False,
    ) -> None:
        self._settings = settings
        self._sign = sign
        self._pool = _pool(settings)
        self._watch = Watch(TIMEOUT_SECONDS, lambda: tell(self._slow()))
        self._is_hurried = False
        self._was_answered = was_answered

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
        is_write = method != "GET" and not target.endswith(_LOGIN)
        asked = Asked(self._settings.url, is_write, self._was_answered)
        answer = self._sent(asked, method, target, body, headers)
        self._was_answered = True
        if answer.status in _REDIRECTS:
            raise ConnectionFailedError(
                f"{self._settings.url} sends us elsewhere, which no Proxmox API does",
                "check PROXMOX_URL",
            )
        return Answer(url, answer.status, answer.reason or "", answer.data)

    def close(self) -> None:
        """Close the kept connections."""
        self._pool.close()

    def hurry(self) -> None:
        """Give requests up, those under way too, that take `LEAVING_SECONDS`."""
        self._is_hurried = True
        self._watch.seconds = LEAVING_SECONDS

    def _sent(
        self, asked: Asked, method: str, target: str, body: str | None, headers: Headers
    ) -> urllib3.BaseHTTPResponse:
        patience = TIMEOUT_SECONDS if asked.was_answered else FIRST_SECONDS
        timeout = urllib3.Timeout(connect=patience, read=TIMEOUT_SECONDS)
        with self._watch.over() as flight:
            try:
                answer = self._pool.urlopen(
                    method,
                    target,
                    body=body,
                    headers=headers,
                    redirect=False,
                    retries=False,
                    timeout=timeout,
                )
            except HTTPError as error:
                if not flight.is_sent and took_too_long(error):
                    raise asked.unreachable(f"no connection in {patience:.0f} s") from error
                if not flight.is_late:
                    raise explain(error, asked) from error
        if flight.is_late and self._is_hurried:
            raise asked.failed(f"{asked.url} has not answered yet", "may still happen")
        if flight.is_late:  # even if an answer seems to be there: the break was its end
            late = ReadTimeoutError(self._pool, target, "the request as a whole took too long")
            raise explain(late, asked) from late
        return answer

    def _slow(self) -> str:
        url = self._settings.url
        return (
            f"{url} has not answered for {SLOW_SECONDS:.0f} s; waiting for up to "
            f"{TIMEOUT_SECONDS:.0f} s"
        )


class _Pool(urllib3.HTTPSConnectionPool):
    ConnectionCls = WatchedConnection


def _pool(settings: Settings) -> _Pool:
    parts = urlsplit(settings.url)
    host, size = parts.hostname or "", KEPT_CONNECTIONS
    if settings.fingerprint:  # it is checked instead of the chain, which means nothing beside it
        return _Pool(
            host,
            parts.port,
            maxsize=size,
            cert_reqs="CERT_NONE",
            assert_fingerprint=settings.fingerprint,
        )
    ca = _readable(settings.ca) if settings.ca else None  # None: the system's authorities
    return _Pool(host, parts.port, maxsize=size, ca_certs=ca)


def _readable(ca: Path) -> str:
    try:
        ssl.create_default_context(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise ConnectionFailedError(
            f"PROXMOX_CA names {ca}, which cannot be read as PEM certificates",
            str(getattr(error, "strerror", None) or error),
        ) from error
    return str(ca)
