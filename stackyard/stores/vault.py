"""One key of a Vault KV v2 secret, always written by check-and-set.

API: https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2. A secret that is absent is
written with `cas` 0, a deleted one with its last version. The other keys of the secret stay.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import hvac
import requests
from hvac import exceptions

from stackyard.stores.protocol import Conflict, StoreError, Versioned

T = TypeVar("T")
TIMEOUT_SECONDS = 15
CAS_MISMATCH = "check-and-set"


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """How to reach a Vault; `token` never appears in a representation."""

    address: str
    token: str = field(repr=False)
    ca: str | None = None
    namespace: str | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "VaultSettings":
        """Return what VAULT_ADDR, VAULT_TOKEN, VAULT_CACERT and VAULT_NAMESPACE say.

        Raises:
            StoreError: one that is needed is missing.
        """
        missing = [name for name in ("VAULT_ADDR", "VAULT_TOKEN") if not environ.get(name)]
        if missing:
            raise StoreError(f"{' and '.join(missing)} must be set to reach Vault")
        return cls(
            environ["VAULT_ADDR"].rstrip("/"),
            environ["VAULT_TOKEN"],
            environ.get("VAULT_CACERT") or None,
            environ.get("VAULT_NAMESPACE") or None,
        )


@dataclass(frozen=True, slots=True)
class VaultStore:
    """A key of a secret at a path of a KV v2 mount."""

    settings: VaultSettings
    mount: str
    path: str
    key: str

    @property
    def name(self) -> str:
        """The secret's place in Vault."""
        return f"Vault {self.settings.address}, {self.mount}/{self.path}"

    def read(self) -> Versioned:
        """Return the key's text; the version is that of the whole secret."""
        data, version = self._read()
        value = data.get(self.key)
        if value is not None and not isinstance(value, str):
            raise StoreError(f"{self.name}: the key {self.key} is not a text")
        return Versioned(value, str(version))

    def write(self, document: str, version: str) -> None:
        """Write the key beside the secret's others, if its version still is the one read."""
        data, found = self._read()
        if str(found) != version:
            raise Conflict
        secret = data | {self.key: document}
        try:
            self._ask(lambda kv: kv.create_or_update_secret(
                path=self.path, secret=secret, cas=found, mount_point=self.mount))  # fmt: skip
        except _LostAnswerError as lost:
            # The write may have taken effect before the answer was lost: what is there decides.
            if self.read().document != document:
                raise StoreError(str(lost)) from None

    def _read(self) -> tuple[dict[str, Any], int]:
        try:
            answer = self._ask(lambda kv: kv.read_secret_version(
                path=self.path, mount_point=self.mount, raise_on_deleted_version=True))  # fmt: skip
        except _AbsentError as absent:
            return {}, absent.version
        content = answer["data"]
        return content["data"] or {}, int(content["metadata"]["version"])

    def _ask(self, call: Callable[[Any], T]) -> T:
        """Make one call of the KV v2 engine; every foreign exception ends here."""
        settings = self.settings
        try:
            with requests.Session() as session:
                # The environment's REQUESTS_CA_BUNDLE must not replace the CA that was asked for.
                session.trust_env = False
                session.verify = settings.ca or True
                client = hvac.Client(
                    url=settings.address,
                    token=settings.token,
                    namespace=settings.namespace,
                    timeout=TIMEOUT_SECONDS,
                    session=session,
                )
                return call(client.secrets.kv.v2)
        except exceptions.InvalidPath as error:
            raise self._absent_or_error(error) from None
        except exceptions.InvalidRequest as error:
            if CAS_MISMATCH in str(error):
                raise Conflict from None
            raise StoreError(f"{self.name}: {_reasons(error)}") from None
        except exceptions.Forbidden:
            raise StoreError(f"{self.name}: the token is wrong or may not do this") from None
        except exceptions.VaultDown:
            raise StoreError(f"{self.name}: Vault is sealed or in maintenance") from None
        except exceptions.VaultError as error:
            raise StoreError(f"{self.name}: {_reasons(error)}") from None
        except requests.exceptions.SSLError:
            raise StoreError(
                f"{self.name}: its certificate does not verify: set VAULT_CACERT to its CA"
            ) from None
        except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError):
            raise _LostAnswerError(f"{self.name}: no answer, is it running?") from None
        except OSError as error:
            raise StoreError(f"{self.name}: {type(error).__name__}") from None

    def _absent_or_error(self, error: exceptions.InvalidPath) -> Exception:
        """Tell a secret that is not there, or is deleted, from a mount that is not there."""
        reasons = [str(reason) for reason in error.errors or []]
        if reasons:
            return StoreError(f"{self.name}: {'; '.join(reasons)}")
        body = error.json if isinstance(error.json, dict) else {}
        metadata = (body.get("data") or {}).get("metadata") or {}
        return _AbsentError(int(metadata.get("version", 0)))


class _AbsentError(Exception):
    """Vault itself says that there is no such version; `version` is what cas must be."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = version


class _LostAnswerError(StoreError):
    """The connection failed; a write may or may not have taken effect."""


def _reasons(error: exceptions.VaultError) -> str:
    reasons = "; ".join(str(reason) for reason in error.errors or [])
    return reasons or type(error).__name__
