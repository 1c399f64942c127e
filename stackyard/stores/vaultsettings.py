"""How to reach a Vault and to prove who we are, as the environment says.

The names are those of Vault's own command line where it has one:
https://developer.hashicorp.com/vault/docs/commands#configure-environment-variables
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stackyard.stores.protocol import StoreError

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/token"
# What no connection can be asked for: of that its libraries raise what they like.
_HOST = re.compile(r"[0-9a-f:.]*:[0-9a-f:.]*|[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
DEADLINE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class AppRole:
    """A login by role and secret; auth method at `mount`."""

    role: str
    secret: str = field(repr=False)
    mount: str = "approle"

    def token(self, client: Any) -> str:
        """Log in; return the token.

        Raises:
            StoreError: the answer has none.
        """
        login = client.auth.approle.login
        return _token(login(self.role, self.secret, use_token=False, mount_point=self.mount))


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """A login by a pod's service account, whose token is in a file and changes there."""

    role: str
    file: Path = Path(SERVICE_ACCOUNT)
    mount: str = "kubernetes"

    def token(self, client: Any) -> str:
        """Log in; return the token.

        Raises:
            StoreError: the service account's token cannot be read, or the answer has none.
        """
        try:
            jwt = self.file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise StoreError(f"{self.file} has no service account's token") from None
        login = client.auth.kubernetes.login
        return _token(login(self.role, jwt, use_token=False, mount_point=self.mount))


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """How to reach a Vault; `token` never appears in a representation.

    Without a token `login` gets one. For `deadline` seconds an answer is waited for.
    """

    address: str
    token: str = field(repr=False)
    ca: str | None = None
    namespace: str | None = None
    login: AppRole | Kubernetes | None = None
    deadline: float = DEADLINE_SECONDS

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "VaultSettings":
        """Return what the environment says; docs/kubeconfigs.md names its variables.

        Raises:
            StoreError: one that is needed is missing, or makes no sense.
        """
        login = None if environ.get("VAULT_TOKEN") else _login(environ)
        missing = [name for name in _needed(environ, login) if not environ.get(name)]
        if missing:
            raise StoreError(f"{' and '.join(missing)} must be set to reach Vault")
        for name in ("VAULT_TOKEN", "VAULT_NAMESPACE"):
            value = environ.get(name, "")
            if not (value.isascii() and value.isprintable() and value == value.strip()):
                raise StoreError(f"{name} has characters that HTTP cannot send")
        return cls(
            _address(environ["VAULT_ADDR"]),
            environ.get("VAULT_TOKEN", ""),
            environ.get("VAULT_CACERT") or None,
            environ.get("VAULT_NAMESPACE") or None,
            login,
            _seconds(environ.get("STACKYARD_STORE_DEADLINE") or str(DEADLINE_SECONDS)),
        )


def _token(answer: Any) -> str:
    """Return the token in a login's answer, which never is quoted."""
    try:
        token = answer["auth"]["client_token"]
    except (KeyError, TypeError):
        token = None
    if not token or not isinstance(token, str):
        raise StoreError("what answers Vault's login gives no token")
    return token


def _needed(environ: Mapping[str, str], login: AppRole | Kubernetes | None) -> tuple[str, ...]:
    if login:
        return ("VAULT_ADDR",)
    halves = ("VAULT_ROLE_ID", "VAULT_SECRET_ID")
    begun = not environ.get("VAULT_TOKEN") and any(environ.get(name) for name in halves)
    return ("VAULT_ADDR", *(halves if begun else ("VAULT_TOKEN",)))


def _login(environ: Mapping[str, str]) -> AppRole | Kubernetes | None:
    mount = environ.get("VAULT_AUTH_MOUNT", "")
    if environ.get("VAULT_ROLE_ID") and environ.get("VAULT_SECRET_ID"):
        return AppRole(environ["VAULT_ROLE_ID"], environ["VAULT_SECRET_ID"], mount or "approle")
    if environ.get("VAULT_KUBERNETES_ROLE"):
        file = environ.get("VAULT_KUBERNETES_TOKEN_FILE") or SERVICE_ACCOUNT
        return Kubernetes(environ["VAULT_KUBERNETES_ROLE"], Path(file), mount or "kubernetes")
    return None


def _address(text: str) -> str:
    try:
        parts = urlsplit(text)
        secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        # A name or a password in it would be part of every sentence.
        usable = secure and _HOST.fullmatch(parts.hostname or "") and "@" not in parts.netloc
        usable = usable and parts.port != 0 and not (parts.query or parts.fragment)
        usable = usable and text.strip().isprintable()
    except ValueError:
        usable = False
    if not usable:
        raise StoreError(
            "VAULT_ADDR must be an address as https://host:8200: TLS is always verified"
        )
    return text.strip().rstrip("/")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise StoreError("STACKYARD_STORE_DEADLINE must be a number of seconds above 0")
    return seconds
