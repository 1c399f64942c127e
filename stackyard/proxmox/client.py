"""The one narrow seam over proxmoxer: get, post, put, delete; data back, or an error of ours.

Nothing of proxmoxer or requests leaves this module. Reads are repeated when a node or pveproxy
hiccups; writes only when surely nothing was applied: the connection was refused, or a lock said
so. One client serves all threads.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

import requests
from proxmoxer import ProxmoxResource, ResourceException
from proxmoxer.backends.https import ProxmoxHTTPApiTokenAuth, ProxmoxHttpSession
from requests.auth import AuthBase
from requests.cookies import RequestsCookieJar

from stackyard.proxmox import transport
from stackyard.proxmox.errors import ApiError, ConnectionFailedError, ProxmoxError
from stackyard.proxmox.settings import Settings

READ_DEADLINE_SECONDS = 20.0
LOCK_DEADLINE_SECONDS = 60.0
TICKET_SECONDS = 3600.0  # tickets last two hours
# 595: no connection from pveproxy to the node; 596: broken behind pveproxy (AnyEvent::HTTP).
_TRANSIENT: Final = frozenset({502, 503, 504, 595, 596, 597, 599})
_NO_NODE: Final = 595
_RANDOM = random.SystemRandom()

logging.getLogger("proxmoxer.core").disabled = True  # it logs request bodies

Params = Mapping[str, "str | int | float | bool | None"]


class _Serializer:
    """Read answers as proxmoxer's own serializer does, but refuse what is no API answer."""

    def loads(self, response: requests.Response) -> Any:
        try:
            return response.json()["data"]
        except (ValueError, KeyError, TypeError) as error:
            raise ConnectionFailedError(
                f"{response.url.partition('/api2/')[0]} answered, but not as a Proxmox API: "
                "check PROXMOX_URL"
            ) from error

    def loads_errors(self, response: requests.Response) -> Any:
        """Return the refused parameters; bodies of 401, 595 and 596 are empty."""
        try:
            body = response.json()
        except ValueError:
            return None
        return body.get("errors") if isinstance(body, dict) else None


class _TicketAuth(AuthBase):
    """Log in with a password, over a session verified alike, and renew before it expires."""

    def __init__(self, settings: Settings) -> None:
        self.timeout = transport.TIMEOUT_SECONDS  # this and the next are read by proxmoxer
        self.verify_ssl = transport.trusted(settings)
        self._settings = settings
        self._session = transport.prepare(requests.Session(), settings)
        self._lock = threading.Lock()
        self._ticket, self._csrf, self._born = "", "", 0.0

    def get_cookies(self) -> RequestsCookieJar:
        """Return no cookies: the ticket is a header, set for each request when it is sent."""
        return RequestsCookieJar()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        with self._lock:
            if not self._ticket or time.monotonic() - self._born > TICKET_SECONDS:
                self._log_in()
        request.headers["Cookie"] = f"PVEAuthCookie={self._ticket}"
        if request.method != "GET":
            request.headers["CSRFPreventionToken"] = self._csrf
        return request

    def close(self) -> None:
        """Close the connections that logins went over."""
        self._session.close()

    def _log_in(self) -> None:
        data = {"username": self._settings.user, "password": self._settings.password}
        answer = self._session.post(
            f"{self._settings.url}/api2/json/access/ticket",
            data=data,
            timeout=transport.TIMEOUT_SECONDS,
        )
        if answer.status_code != requests.codes.ok:
            raise ApiError("POST /access/ticket", answer.status_code, answer.reason)
        ticket = _Serializer().loads(answer)
        self._ticket, self._csrf = ticket["ticket"], ticket["CSRFPreventionToken"]
        self._born = time.monotonic()


class Client:
    """A connection to one cluster, through any of its nodes."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._session = transport.prepare(ProxmoxHttpSession(), settings)
        self._session.auth = _auth(settings)
        self._session.headers["Accept"] = "application/json"
        self._api = ProxmoxResource(
            base_url=f"{settings.url}/api2/json",
            session=self._session,
            serializer=_Serializer(),
        )
        self._answered = False

    def __repr__(self) -> str:
        return f"Client({self.settings.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connections."""
        self._session.close()
        if isinstance(self._session.auth, _TicketAuth):
            self._session.auth.close()

    def get(self, path: str, **params: str | float | bool | None) -> Any:
        """Read. Repeated on broken connections, until `READ_DEADLINE_SECONDS` are over.

        Raises:
            ApiError: Proxmox refused.
            ConnectionFailedError: no answer came.
        """
        return self._repeat("GET", path, params, READ_DEADLINE_SECONDS, _is_hiccup)

    def post(self, path: str, **params: str | float | bool | None) -> Any:
        """Write; see `get` for what is raised. Repeated only when nothing was applied."""
        return self._repeat("POST", path, params, LOCK_DEADLINE_SECONDS, _is_unapplied)

    def put(self, path: str, **params: str | float | bool | None) -> Any:
        """Write; see `get` for what is raised. Repeated only when nothing was applied."""
        return self._repeat("PUT", path, params, LOCK_DEADLINE_SECONDS, _is_unapplied)

    def delete(self, path: str, **params: str | float | bool | None) -> Any:
        """Delete; the parameters go into the query, for pveproxy refuses a body."""
        return self._repeat("DELETE", path, params, LOCK_DEADLINE_SECONDS, _is_unapplied)

    def _repeat(
        self,
        method: str,
        path: str,
        params: Params,
        patience: float,
        may_repeat: Callable[[ProxmoxError], bool],
    ) -> Any:
        """Repeat a request with growing pauses, but a cluster that never answered not at all."""
        deadline, pause = time.monotonic() + patience, 0.2
        while True:
            try:
                return self._once(method, path, params)
            except ProxmoxError as error:
                late = time.monotonic() + pause > deadline
                if late or not self._answered or not may_repeat(error):
                    raise
            time.sleep(pause * _RANDOM.uniform(0.5, 1.0))
            pause = min(pause * 2, 5.0)

    def _once(self, method: str, path: str, params: Params) -> Any:
        resource = self._api(path.strip("/"))
        call = getattr(resource, method.lower())
        try:
            data = call(**{key: _plain(value) for key, value in params.items()})
        except ResourceException as error:
            self._answered = error.status_code != requests.codes.unauthorized
            raise _api_error(f"{method} {path}", error) from None
        except requests.RequestException as error:
            raise transport.explain(error, self.settings) from error
        self._answered = True
        return data


def _auth(settings: Settings) -> Any:
    if settings.token_secret is None:
        return _TicketAuth(settings)
    return ProxmoxHTTPApiTokenAuth(
        settings.user,
        settings.token_id,
        settings.token_secret,
        verify_ssl=transport.trusted(settings),
        timeout=transport.TIMEOUT_SECONDS,
    )


def _plain(value: str | float | bool | None) -> str | float | None:
    """Proxmox knows 1 and 0, not Python's True and False."""
    return int(value) if isinstance(value, bool) else value


def _api_error(request: str, error: ResourceException) -> ApiError:
    errors = error.errors if isinstance(error.errors, dict) else {}
    named = {key: text for key, text in errors.items() if isinstance(text, str)}
    return ApiError(request, error.status_code, str(error.content), named)


def _is_hiccup(error: ProxmoxError) -> bool:
    if isinstance(error, ApiError):
        return error.status in _TRANSIENT
    return isinstance(error.__cause__, requests.ConnectionError)


def _is_unapplied(error: ProxmoxError) -> bool:
    if isinstance(error, ApiError):
        return error.is_locked or (error.status == _NO_NODE and "refused" in error.reason)
    return error.__cause__ is not None and transport.was_refused(error.__cause__)
