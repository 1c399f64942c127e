"""HTTPS to Proxmox: verified by authority or by pinned certificate, and by nothing else.

Python's environment variables for proxies and certificates, and ~/.netrc, are not consulted:
REQUESTS_CA_BUNDLE would otherwise replace a pinned certificate without a word.
"""

import ssl
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from stackyard.proxmox.errors import ConnectionFailedError
from stackyard.proxmox.settings import Settings

POOL_SIZE = 16  # pveproxy serves with three workers a node: more in flight gains nothing
TIMEOUT_SECONDS = 60.0  # pveproxy itself gives up on another node after about 30 s


class _Pinned(HTTPAdapter):
    """Accept exactly the certificate with this SHA-256, whoever signed it."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        super().__init__(pool_maxsize=POOL_SIZE)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, assert_fingerprint=self._fingerprint)


def prepare(session: requests.Session, settings: Settings) -> requests.Session:
    """Give a session its trust, its pool and nothing from the environment."""
    session.trust_env = False
    session.max_redirects = 0
    session.verify = trusted(settings)
    if settings.fingerprint:
        session.mount("https://", _Pinned(settings.fingerprint))
    else:
        session.mount("https://", HTTPAdapter(pool_maxsize=POOL_SIZE))
    return session


def trusted(settings: Settings) -> bool | str:
    """Return requests' `verify`: an authority's file, the system's, or the pin alone."""
    if settings.fingerprint:
        return False  # the adapter checks the fingerprint, and the chain means nothing beside it
    if settings.ca is None:
        return True
    return _readable(settings.ca)


def _readable(ca: Path) -> str:
    try:
        ssl.create_default_context(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise ConnectionFailedError(
            f"PROXMOX_CA names {ca}, which cannot be read as PEM certificates: "
            f"{getattr(error, 'strerror', None) or error}"
        ) from error
    return str(ca)


def was_refused(error: BaseException) -> bool:
    """Tell whether a connection was refused, so that nothing can have been applied."""
    return any(isinstance(cause, ConnectionRefusedError) for cause in _causes(error))


def explain(error: requests.RequestException, settings: Settings) -> ConnectionFailedError:
    """Turn an exception of requests into a sentence."""
    url, causes = settings.url, _causes(error)
    text = " ".join(str(cause) for cause in causes)
    if "ingerprints did not match" in text:
        return ConnectionFailedError(
            f"the certificate of {url} is not the pinned one: compare PROXMOX_FINGERPRINT with "
            "the node's certificate"
        )
    if isinstance(error, requests.exceptions.SSLError):
        return ConnectionFailedError(
            f"the certificate of {url} is not trusted ({_tls_reason(causes)}): set PROXMOX_CA to "
            "the cluster's authority, or PROXMOX_FINGERPRINT"
        )
    if isinstance(error, requests.Timeout):
        return ConnectionFailedError(
            f"{url} did not answer in {TIMEOUT_SECONDS:.0f} s: what was asked may still happen, "
            "plan again"
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
