"""Why no answer came, as sentences: urllib3's exceptions end here."""

import ssl
from dataclasses import dataclass

from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from stackyard.proxmox.errors import ConnectionFailedError

TIMEOUT_SECONDS = 60.0  # pveproxy itself gives up on another node after about 30 s
# Debian 12's own Python, 3.11.2, calls by the second name what later ones call by the first.
_HUNG_UP = (ssl.SSLEOFError, ssl.SSLZeroReturnError)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, as far as it matters for what to do without an answer."""

    url: str
    is_write: bool
    was_answered: bool  # some request before it, by the same server

    def failed(self, what: str, outcome: str = "") -> ConnectionFailedError:
        """Return the error that says `what`, and what to do; `outcome` is what a write may do."""
        if self.is_write and outcome:
            return ConnectionFailedError(what, f"what was asked {outcome}, plan again")
        return ConnectionFailedError(
            what, "try again" if self.was_answered else "check PROXMOX_URL"
        )

    def unreachable(self, reason: str) -> ConnectionFailedError:
        """Return the error that there is no connection, so that nothing was asked."""
        any_more = " any more" if self.was_answered else ""
        return self.failed(f"cannot reach Proxmox at {self.url}{any_more} ({reason})")


def was_broken(error: BaseException | None) -> bool:
    """Tell whether there was no connection or it broke, rather than being distrusted or slow."""
    is_known = isinstance(error, ProtocolError | NewConnectionError | ConnectTimeoutError)
    return is_known or _was_hung_up(error)


def _was_hung_up(error: BaseException | None) -> bool:
    """Tell whether TLS ended without a word, as a balancer whose servers are gone ends it."""
    return error is not None and any(isinstance(c, _HUNG_UP) for c in _causes(error))


def was_refused(error: BaseException) -> bool:
    """Tell whether a connection was refused, so that nothing can have been applied."""
    return any(isinstance(cause, ConnectionRefusedError) for cause in _causes(error))


def took_too_long(error: HTTPError) -> bool:
    """Tell whether something took longer than it may, rather than failing."""
    # urllib3 counts any failure to connect among those.
    is_late = isinstance(error, ConnectTimeoutError | ReadTimeoutError)
    return is_late and not isinstance(error, NewConnectionError)


def explain(error: HTTPError, asked: Asked) -> ConnectionFailedError:
    """Turn an exception of urllib3 into a sentence."""
    url, causes = asked.url, _causes(error)
    text = " ".join(str(cause) for cause in causes)
    if "ingerprints did not match" in text:
        return ConnectionFailedError(
            f"the certificate of {url} is not the pinned one",
            "compare PROXMOX_FINGERPRINT with the node's certificate",
        )
    if isinstance(error, ProtocolError) or _was_hung_up(error):
        return asked.failed(
            f"the connection to {url} broke before the answer came", "may have happened"
        )
    if isinstance(error, SSLError):
        return ConnectionFailedError(
            f"the certificate of {url} is not trusted ({_tls_reason(causes)})",
            "set PROXMOX_CA to the cluster's authority, or PROXMOX_FINGERPRINT",
        )
    if isinstance(error, ReadTimeoutError):
        return asked.failed(f"{url} did not answer in {TIMEOUT_SECONDS:.0f} s", "may still happen")
    system = next((c for c in causes if isinstance(c, OSError) and c.strerror), None)
    return asked.unreachable(str(system.strerror) if system else type(error).__name__)


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
