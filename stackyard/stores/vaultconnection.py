"""One connection to a Vault: every foreign exception ends here.

API: https://developer.hashicorp.com/vault/api-docs#http-status-codes
"""

import os
import re
import weakref
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from threading import Lock
from typing import Any

import hvac
import requests
from hvac import exceptions

from stackyard.stores.protocol import Conflict, StoreError, UnavailableError
from stackyard.stores.vaultsettings import AppRole, Kubernetes, VaultSettings

TIMEOUT_SECONDS = 15.0
CAS_MISMATCH = "check-and-set"
# With 400, and not 503, KV v2 says that its mount was made just now.
STARTING = "will resume service shortly"
# With 412, unknown to hvac, a node of Vault Enterprise says that it has not heard of a login yet:
# https://developer.hashicorp.com/vault/docs/enterprise/consistency
BEHIND = "required index state not present"
TOO_LARGE = "too large"
NO_PEM = re.compile(r"\[(X509|PEM)|PEM lib")  # OpenSSL's, of a file that it cannot use
LONGEST_REASON = 200
NO_VAULT = "what answers there is no Vault"
BUSY = {
    exceptions.RateLimitExceeded: "Vault has too much to do (429)",
    exceptions.InternalServerError: "Vault failed inside (500)",
    exceptions.BadGateway: "what is before Vault found none behind it (502)",
    exceptions.VaultDown: "Vault has no active node now (503)",
}


class Absent(Exception):  # noqa: N818 - it is no error
    """Vault itself says that there is no such version; `version` is what cas must be."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = version


class LostAnswerError(UnavailableError):
    """No answer came; a write may or may not have taken effect."""


class _Login:
    """The login of all connections with the same settings: a secret may be good for one alone."""

    def __init__(self) -> None:
        self._token = ""
        self._failures, self._failure = 0, Exception()
        self._lock = Lock()

    def token(self, login: AppRole | Kubernetes, client: Any, refused: str) -> tuple[str, bool]:
        """Return the token, and whether it is new, as it is where the one there was refused.

        Who waited for a login that failed, as with a Vault that is silent, tries none after it:
        one after the other they would wait many times as long.
        """
        before = self._failures
        with self._lock:
            if self._failures > before:
                raise self._failure
            is_new = self._token == refused
            if is_new:
                try:
                    self._token = login.token(client)
                except Exception as error:
                    self._failures, self._failure = self._failures + 1, error
                    raise
            return self._token, is_new


@lru_cache(maxsize=64)
def _login_of(_settings: VaultSettings) -> _Login:
    return _Login()


class Connection:
    """A kept-alive session with a token, closed when nobody has it any more."""

    def __init__(self, settings: VaultSettings) -> None:
        self._settings = settings
        self._token, self._refused, self._is_new = settings.token, "", False
        self._session, self._owner = _session(settings), os.getpid()
        weakref.finalize(self, self._session.close)

    def ask(self, name: str, call: Callable[[Any], Any]) -> dict[str, Any]:
        """Make one call of Vault's client; `name` is the secret's in a sentence.

        Raises:
            Absent: there is no such version.
            Conflict: check-and-set failed.
            UnavailableError: Vault does not answer now.
            StoreError: it answers no.
        """
        while True:
            self._is_new = False
            try:
                answer = self._translated(name, lambda: call(self._client()))
                break
            except _ForbiddenError:
                # A token that was got by a login may have expired since.
                if self._is_new or not self._token or self._settings.login is None:
                    raise
                self._token, self._refused = "", self._token
        if not isinstance(answer, dict):
            raise StoreError(f"{name}: {NO_VAULT}")
        return answer

    def _client(self) -> Any:
        if self._owner != os.getpid():
            # A connection that a parent process shares would mix up both sides' answers.
            self._session, self._owner = _session(self._settings), os.getpid()
            weakref.finalize(self, self._session.close)
        client = hvac.Client(
            url=self._settings.address,
            token=self._token,
            namespace=self._settings.namespace,
            timeout=min(TIMEOUT_SECONDS, self._settings.deadline),
            session=self._session,
        )
        login = self._settings.login
        if not self._token and login is not None:
            shared = _login_of(self._settings)
            self._token, self._is_new = shared.token(login, client, self._refused)
            client.token = self._token
        return client

    @staticmethod
    def _translated(name: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except exceptions.VaultError as error:
            raise _refused(name, error) from None
        except requests.exceptions.RequestException as error:
            raise _no_answer(name, error) from None
        except OSError:
            raise StoreError(f"{name}: the file of VAULT_CACERT cannot be read") from None


class _ForbiddenError(StoreError):
    """Vault answers 403."""


class _SealedError(StoreError):
    """Vault is sealed, which waiting does not change; but the same may work later."""

    exit_code = UnavailableError.exit_code


def _session(settings: VaultSettings) -> requests.Session:
    session = requests.Session()
    # The environment's REQUESTS_CA_BUNDLE must not replace the CA that was asked for.
    session.trust_env = False
    session.verify = settings.ca or True
    session.hooks["response"].append(_expect_vault)
    return session


class _NoVaultError(requests.exceptions.RequestException):
    """An answer that Vault does not give: a login page, a redirect to one, somebody else's API."""


def _expect_vault(response: requests.Response, *_: object, **__: object) -> None:
    """Stop an answer for which hvac has no exception, or which it would take for Vault's."""
    gateway = response.status_code == HTTPStatus.GATEWAY_TIMEOUT
    if gateway or not _may_be_vaults(response):
        response.close()
        raise requests.exceptions.ReadTimeout if gateway else _NoVaultError


def _may_be_vaults(response: requests.Response) -> bool:
    if response.is_redirect:
        # A standby of Vault answers 307. Others would be given the token, or turn POST into GET.
        secure = response.headers["Location"].startswith("https://")
        return secure and response.status_code == HTTPStatus.TEMPORARY_REDIRECT
    if response.status_code == HTTPStatus.NO_CONTENT:
        return True
    if response.headers.get("Content-Type", "").partition(";")[0] != "application/json":
        # A proxy has no JSON to say that Vault is away, or that it takes no more at once.
        too_large = response.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        return too_large or response.status_code >= HTTPStatus.TOO_MANY_REQUESTS
    try:
        return response.ok or isinstance(response.json().get("errors", []), list)
    except (AttributeError, ValueError):
        return False


def _refused(name: str, error: exceptions.VaultError) -> Exception:
    """Return what an answer that is not 2xx means."""
    if isinstance(error, exceptions.InvalidPath):
        return _absent_or_error(name, error)
    if passing := _passing(name, error):
        return passing
    if isinstance(error, exceptions.Forbidden):
        return _ForbiddenError(f"{name}: the token is wrong or may not do this")
    if isinstance(error, exceptions.VaultDown) and "sealed" in str(error):
        return _SealedError(f"{name}: Vault is sealed or in maintenance")
    # Of raft's storage it is a 500, of the listener's limit a 400, of a proxy a 413.
    too_large = TOO_LARGE in str(error).lower()
    if type(error) in BUSY and not too_large:
        return LostAnswerError(f"{name}: {BUSY[type(error)]}")
    said = "it is too large for this Vault's storage or requests" if too_large else _reasons(error)
    return StoreError(f"{name}: {said}")


def _passing(name: str, error: exceptions.VaultError) -> Exception | None:
    """Return what a 400 or a 412 means after which the same may be asked again."""
    if isinstance(error, exceptions.UnexpectedError) and BEHIND in str(error):
        return UnavailableError(f"{name}: this node of Vault is behind the others (412)")
    if not isinstance(error, exceptions.InvalidRequest):
        return None
    if CAS_MISMATCH in str(error):
        return Conflict()
    if STARTING in str(error):
        return UnavailableError(f"{name}: Vault's KV v2 engine has not started yet")
    return None


def _no_answer(name: str, error: requests.exceptions.RequestException) -> StoreError:
    if isinstance(error, requests.exceptions.SSLError) and "VERIFY_FAILED" in str(error):
        return StoreError(f"{name}: its certificate does not verify: set VAULT_CACERT to its CA")
    if isinstance(error, requests.exceptions.SSLError) and NO_PEM.search(str(error)):
        return StoreError(f"{name}: the file of VAULT_CACERT has no certificate in PEM")
    if isinstance(error, _NoVaultError):
        return StoreError(f"{name}: {NO_VAULT}")
    lost = requests.exceptions.ConnectionError | requests.exceptions.Timeout
    if isinstance(error, lost | requests.exceptions.ChunkedEncodingError):
        return LostAnswerError(f"{name}: no answer, is it running?")
    return StoreError(f"{name}: {type(error).__name__}")


def _absent_or_error(name: str, error: exceptions.InvalidPath) -> Exception:
    """Tell a secret that is not there, or is deleted, from a mount that is not there."""
    if error.errors:
        return StoreError(f"{name}: {_reasons(error)}")
    data = (error.json or {}).get("data")
    metadata = data.get("metadata") if isinstance(data, dict) else None
    version = metadata.get("version") if isinstance(metadata, dict) else 0
    return Absent(version if isinstance(version, int) else 0)


def _reasons(error: exceptions.VaultError) -> str:
    reasons = " ".join("; ".join(str(reason) for reason in error.errors or []).split())
    return reasons[:LONGEST_REASON] or type(error).__name__
