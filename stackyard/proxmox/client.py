"""The one narrow seam over proxmoxer: get, post, put, delete; data back, or an error of ours.

Nothing of proxmoxer leaves this module. Reads are repeated when a node or pveproxy
hiccups; writes only when surely nothing was applied (the connection was refused, or a lock said
so), or when their caller knows that once more does no harm. One client serves all threads.
"""

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from http import HTTPStatus
from typing import Any, Final, Self

from proxmoxer import ProxmoxResource, ResourceException

from stackyard.proxmox import transport
from stackyard.proxmox.errors import ApiError, ConnectionFailedError, ProxmoxError
from stackyard.proxmox.settings import Settings
from stackyard.proxmox.unanswered import was_broken, was_refused

READ_DEADLINE_SECONDS = 20.0
LOCK_DEADLINE_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 0.2
TICKET_SECONDS = 3600.0  # tickets last two hours
# 595: no connection from pveproxy to the node; 596: broken behind pveproxy (AnyEvent::HTTP).
_TRANSIENT: Final = frozenset({502, 503, 504, 595, 596, 597, 599})
_NO_NODE: Final = 595
_RANDOM = random.SystemRandom()

logging.getLogger("proxmoxer.core").disabled = True  # it logs request bodies

TOLD_AFTER_SECONDS = 2.0  # of waiting

Params = Mapping[str, "str | int | float | bool | None"]


def no_api(url: str) -> ConnectionFailedError:
    """Return the error of an answer that none of Proxmox's is like."""
    return ConnectionFailedError(f"{url} answered, but not as a Proxmox API", "check PROXMOX_URL")


class _Serializer:
    """Read answers as proxmoxer's own serializer does, but refuse what is no API answer."""

    def loads(self, answer: transport.Answer) -> Any:
        try:
            return json.loads(answer.content)["data"]
        except (ValueError, KeyError, TypeError) as error:
            raise no_api(answer.url.partition("/api2/")[0]) from error

    def loads_errors(self, answer: transport.Answer) -> Any:
        """Return the refused parameters; bodies of 401, 595 and 596 are empty."""
        try:
            body = json.loads(answer.content)
        except ValueError:
            return None
        return body.get("errors") if isinstance(body, dict) else None


class _Token:
    """The header of a token, the same for every request."""

    def __init__(self, settings: Settings) -> None:
        name, secret = f"{settings.user}!{settings.token_id}", settings.token_secret
        self._headers = {"Authorization": f"PVEAPIToken={name}={secret}"}

    def __call__(self, _method: str) -> transport.Headers:
        return self._headers


class _Ticket:
    """Logs in with a password, and again before the ticket expires."""

    def __init__(self, settings: Settings, tell: transport.Tell) -> None:
        self._settings = settings
        self._tell = tell
        self._lock = threading.Lock()
        self._ticket, self._csrf, self._born = "", "", 0.0

    def __call__(self, method: str) -> transport.Headers:
        with self._lock:
            if not self._ticket or time.monotonic() - self._born > TICKET_SECONDS:
                self._log_in()
        headers = {"Cookie": f"PVEAuthCookie={self._ticket}"}
        return headers if method == "GET" else {**headers, "CSRFPreventionToken": self._csrf}

    def _log_in(self) -> None:
        url = f"{self._settings.url}/api2/json/access/ticket"
        data = {"username": self._settings.user, "password": self._settings.password}
        was_answered = bool(self._ticket)
        session = transport.Session(self._settings, lambda _method: {}, self._tell, was_answered)
        with closing(session):
            answer = session.request("POST", url, data=data)
        if answer.status_code != HTTPStatus.OK:
            request, is_first = "POST /access/ticket", not was_answered
            raise ApiError(request, answer.status_code, answer.reason, is_first=is_first)
        ticket = _Serializer().loads(answer)
        try:
            self._ticket, self._csrf = ticket["ticket"], ticket["CSRFPreventionToken"]
        except (KeyError, TypeError) as error:
            raise no_api(self._settings.url) from error
        self._born = time.monotonic()


class Client:
    """A connection to one cluster, through any of its nodes; `tell` is told of long waits."""

    def __init__(self, settings: Settings, tell: transport.Tell = lambda _sentence: None) -> None:
        self.settings = settings
        self.tell = tell
        sign = _Token(settings) if settings.token_secret else _Ticket(settings, tell)
        self._session = transport.Session(settings, sign, tell)
        self._api = ProxmoxResource(
            base_url=f"{settings.url}/api2/json",
            session=self._session,
            serializer=_Serializer(),
        )
        self._answered = False
        self._stopped = threading.Event()

    def __repr__(self) -> str:
        return f"Client({self.settings.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connections."""
        self._session.close()

    def stop(self) -> None:
        """Repeat nothing any more, and give requests up that are not answered soon."""
        self._stopped.set()
        self._session.hurry()

    def get(self, path: str, **params: str | float | bool | None) -> Any:
        """Read. Repeated on broken connections, until `READ_DEADLINE_SECONDS` are over.

        Raises:
            ApiError: Proxmox refused.
            ConnectionFailedError: no answer came, or one that is no object and no list of them.
        """
        data = self._repeat("GET", path, params, READ_DEADLINE_SECONDS, _is_hiccup)
        rows = data if isinstance(data, list) else [data]
        if not all(isinstance(row, dict) for row in rows):
            raise no_api(self.settings.url)
        return data

    def post(self, path: str, **params: str | float | bool | None) -> Any:
        """Write; see `get` for what is raised. Repeated only when nothing was applied."""
        return self._repeat("POST", path, params, LOCK_DEADLINE_SECONDS, _is_unapplied)

    def put(self, path: str, **params: str | float | bool | None) -> Any:
        """Write; see `get` for what is raised. Repeated only when nothing was applied."""
        return self._repeat("PUT", path, params, LOCK_DEADLINE_SECONDS, _is_unapplied)

    def delete(self, path: str, **params: str | float | bool | None) -> Any:
        """Delete; the parameters go into the query, for pveproxy refuses a body."""
        return self._repeat("DELETE", path, params, LOCK_DEADLINE_SECONDS, _is_unapplied)

    def repeat(
        self,
        method: str,
        path: str,
        is_harmless: Callable[[], bool],
        **params: str | float | bool | None,
    ) -> Any:
        """Write, and again as reads are where nobody knows whether it was applied.

        `is_harmless` is asked before each repetition; see `get` for what is raised.
        """

        def may_repeat(error: ProxmoxError) -> bool:
            return _is_unapplied(error) or (_is_hiccup(error) and is_harmless())

        return self._repeat(method, path, params, LOCK_DEADLINE_SECONDS, may_repeat)

    def _repeat(
        self,
        method: str,
        path: str,
        params: Params,
        patience: float,
        may_repeat: Callable[[ProxmoxError], bool],
    ) -> Any:
        """Repeat a request with growing pauses, but a cluster that never answered not at all."""
        begun, pause, is_told = time.monotonic(), FIRST_PAUSE_SECONDS, False
        while True:
            try:
                return self._once(method, path, params)
            except ProxmoxError as error:
                waited = time.monotonic() - begun
                late = waited + pause > patience
                if late or not self._answered or not may_repeat(error):
                    raise
                if waited > TOLD_AFTER_SECONDS and not is_told:
                    self.tell(f"{error.what}; tried again for up to {patience:.0f} s")
                    is_told = True
                if self._stopped.wait(pause * _RANDOM.uniform(0.5, 1.0)):
                    raise
            pause = min(pause * 2, 5.0)

    def _once(self, method: str, path: str, params: Params) -> Any:
        resource = self._api(path.strip("/"))
        call = getattr(resource, method.lower())
        try:
            data = call(**{key: _plain(value) for key, value in params.items()})
        except ResourceException as error:
            is_first = not self._answered
            self._answered = error.status_code != HTTPStatus.UNAUTHORIZED
            raise _api_error(f"{method} {path}", error, is_first) from None
        self._answered = True
        return data


def _plain(value: str | float | bool | None) -> str | float | None:
    """Proxmox knows 1 and 0, not Python's True and False."""
    return int(value) if isinstance(value, bool) else value


def _api_error(request: str, error: ResourceException, is_first: bool) -> ApiError:
    errors = error.errors if isinstance(error.errors, dict) else {}
    named = {key: text for key, text in errors.items() if isinstance(text, str)}
    return ApiError(request, error.status_code, str(error.content), named, is_first)


def _is_hiccup(error: ProxmoxError) -> bool:
    if isinstance(error, ApiError):
        return error.status in _TRANSIENT
    return was_broken(error.__cause__)


def _is_unapplied(error: ProxmoxError) -> bool:
    if isinstance(error, ApiError):
        return error.is_locked or (error.status == _NO_NODE and "refused" in error.reason)
    return error.__cause__ is not None and was_refused(error.__cause__)
