"""How to reach Proxmox: values taken from the environment once, checked, and never printed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from stackyard.definitions.document import is_utf8
from stackyard.proxmox.errors import SettingsError

DEFAULT_PORT = 8006
_NO_ADDRESS = "PROXMOX_URL must be an https address without credentials, like https://node01:8006"
_HOST_NAME = r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?"
CLONES = 4  # for each node and storage: more, and Proxmox's own locks time out


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the API is, who we are, and whom we trust; secrets stay out of `repr`."""

    url: str  # https://host:port, no path
    user: str  # user@realm
    token_id: str | None = None
    token_secret: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    ca: Path | None = None  # None, and no fingerprint: the system's authorities
    fingerprint: str | None = None  # SHA-256 of the certificate, lower-case hex, no colons
    clones: int = CLONES  # copies at a time, for each node and storage

    @property
    def is_root(self) -> bool:
        """Whether it is root itself, whom no token is."""
        return self.user == "root@pam" and self.token_id is None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Read PROXMOX_URL, _USER, _TOKEN_ID, _TOKEN_SECRET or _PASSWORD, _CA or _FINGERPRINT.

        PROXMOX_CLONES says how many clones a storage of a node may have to make at a time.

        Raises:
            SettingsError: a variable is missing, malformed, or contradicts another.
        """
        values = {
            name.removeprefix("PROXMOX_"): value.strip()
            for name, value in environ.items()
            if name.startswith("PROXMOX_") and value.strip()
        }
        user, token_id = _identity(values)
        _check_credentials(values, token_id)
        _check_sendable(values)
        return cls(
            url=_url(values.get("URL")),
            user=user,
            token_id=token_id,
            token_secret=values.get("TOKEN_SECRET"),
            password=None if values.get("TOKEN_SECRET") else values.get("PASSWORD"),
            ca=_ca(values),
            fingerprint=_fingerprint(values.get("FINGERPRINT")),
            clones=_clones(values.get("CLONES", str(CLONES))),
        )


def _url(url: str | None) -> str:
    if not url:
        raise SettingsError(
            "PROXMOX_URL is not set: give the address of a node, like https://node01:8006"
        )
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        host = parts.hostname or ""
    except ValueError:  # brackets that are not a pair
        raise SettingsError(_NO_ADDRESS) from None
    if parts.scheme != "https" or not _is_host(host) or parts.username or parts.password:
        raise SettingsError(_NO_ADDRESS)
    host = f"[{host}]" if ":" in host else host
    try:
        return f"https://{host}:{parts.port or DEFAULT_PORT}"
    except ValueError as error:
        raise SettingsError("PROXMOX_URL has a port that is not a number up to 65535") from error


def _is_host(text: str) -> bool:
    """Whether a connection can be asked for: of anything else its library raises what it likes."""
    try:
        return "%" not in text and ip_address(text).version > 0
    except ValueError:
        return re.fullmatch(_HOST_NAME, text) is not None


def _identity(values: Mapping[str, str]) -> tuple[str, str | None]:
    """Accept a token as `name`, or as `user@realm!name`, which is how Proxmox shows it."""
    user, token_id = values.get("USER", ""), values.get("TOKEN_ID")
    if token_id and "!" in token_id:
        owner, _, token_id = token_id.partition("!")
        if user and user != owner:
            raise SettingsError(
                f"PROXMOX_USER is {user}, but PROXMOX_TOKEN_ID belongs to {owner}: drop one of them"
            )
        user = owner
    if not user:
        raise SettingsError("PROXMOX_USER is not set: give a user with its realm, like root@pam")
    if "@" not in user:
        raise SettingsError(f"PROXMOX_USER is {user}, without a realm: write {user}@pam or @pve")
    return user, token_id


def _check_sendable(values: Mapping[str, str]) -> None:
    """Refuse what cannot be sent: an exception that said so of a token would quote it."""
    for name in ("USER", "TOKEN_ID", "TOKEN_SECRET") if "TOKEN_SECRET" in values else ():
        if not (values.get(name, "").isascii() and values.get(name, "").isprintable()):
            raise SettingsError(f"PROXMOX_{name} has characters that HTTP cannot send")
    for name in ("USER", "PASSWORD"):
        if not is_utf8(values.get(name, "")):
            raise SettingsError(f"PROXMOX_{name} is not UTF-8 text")


def _check_credentials(values: Mapping[str, str], token_id: str | None) -> None:
    secret, password = "TOKEN_SECRET" in values, "PASSWORD" in values
    if secret and password:
        raise SettingsError("PROXMOX_TOKEN_SECRET and PROXMOX_PASSWORD are both set: unset one")
    if secret and not token_id:
        raise SettingsError("PROXMOX_TOKEN_SECRET is set without PROXMOX_TOKEN_ID: set that too")
    if token_id and not secret:
        raise SettingsError("PROXMOX_TOKEN_ID is set without PROXMOX_TOKEN_SECRET: set that too")
    if not secret and not password:
        raise SettingsError(
            "no credentials for Proxmox: set PROXMOX_TOKEN_ID and PROXMOX_TOKEN_SECRET, "
            "or PROXMOX_PASSWORD"
        )


def _ca(values: Mapping[str, str]) -> Path | None:
    if "CA" not in values:
        return None
    if "FINGERPRINT" in values:
        raise SettingsError("PROXMOX_CA and PROXMOX_FINGERPRINT are both set: unset one of them")
    path = Path(values["CA"])
    try:
        path = path.expanduser()
        is_file = path.is_file()
    except (OSError, RuntimeError) as error:  # its folder may not be searched; a ~ of nobody's
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"PROXMOX_CA names {path}, which cannot be read: {reason}") from error
    if not is_file:
        raise SettingsError(f"PROXMOX_CA names {path}, which is not a file: give a PEM file")
    return path


def _fingerprint(text: str | None) -> str | None:
    if text is None:
        return None
    digits = text.replace(":", "").lower()
    if not re.fullmatch("[0-9a-f]{64}", digits):
        raise SettingsError(
            "PROXMOX_FINGERPRINT must be the SHA-256 of a certificate: 64 hex digits"
        )
    return digits


def _clones(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,3}", text):
        raise SettingsError(
            f"PROXMOX_CLONES is {text}, not a whole number from 1 to 9999: it says how many clones "
            "are made at a time on each storage of a node"
        )
    return int(text)
