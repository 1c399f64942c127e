"""One key of a Vault KV v2 secret, always written by check-and-set.

API: https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2. A secret that is absent is
written with `cas` 0, a deleted one with its last version. The other keys of the secret stay.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stackyard.stores.protocol import Conflict, StoreError, Versioned
from stackyard.stores.retry import answered
from stackyard.stores.vaultconnection import Absent, Connection, LostAnswerError
from stackyard.stores.vaultsettings import VaultSettings

__all__ = ["VaultSettings", "VaultStore"]
Data = dict[str, Any]


@dataclass
class VaultStore:
    """A key of a secret at a path of a KV v2 mount."""

    settings: VaultSettings
    mount: str
    path: str
    key: str
    _connection: Connection = field(init=False, repr=False, compare=False)
    _read: tuple[Data, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Connect when the first question is asked."""
        self._connection = Connection(self.settings)
        self._read = {}, -1

    @property
    def name(self) -> str:
        """The secret's place in Vault."""
        return f"Vault {self.settings.address}, {self.mount}/{self.path}"

    def read(self) -> Versioned:
        """Return the key's text; the version is that of the whole secret."""
        self._read = data, version = self._secret()
        value = data.get(self.key)
        if value is not None and not isinstance(value, str):
            raise StoreError(f"{self.name}: the key {self.key} is not a text")
        return Versioned(value, str(version))

    def write(self, document: str, version: str) -> None:
        """Write the key beside the secret's others, if its version still is the one read.

        Where the answer is lost the same is asked again: check-and-set lets it happen once only.
        """
        # What was read at this very version is what cas compares with: no need to read again.
        data, found = self._read if str(self._read[1]) == version else self._secret()
        if str(found) != version:
            raise Conflict
        self._put(data | {self.key: document}, found)

    def _put(self, secret: Data, found: int) -> None:
        lost = False

        def put() -> None:
            nonlocal lost
            try:
                self._connection.ask(self.name, lambda kv: kv.create_or_update_secret(
                    path=self.path, secret=secret, cas=found, mount_point=self.mount))  # fmt: skip
            except LostAnswerError:
                lost = True
                raise
            except Conflict:
                if not (lost and self._is_ours(found + 1, secret)):
                    raise

        try:
            answered(put, self.settings.deadline)
        except LostAnswerError as error:
            raise type(error)(f"{error} (it may or may not be written: run it again)") from None

    def _is_ours(self, version: int, secret: Data) -> bool:
        """Tell whether the version that came after the one we read is what we wrote."""
        try:
            return self._secret(version)[0] == secret
        except StoreError as error:
            raise LostAnswerError(str(error)) from None

    def _secret(self, version: int | None = None) -> tuple[Data, int]:
        def ask() -> Any:
            return self._connection.ask(self.name, self._reading(version))

        try:
            content = answered(ask, self.settings.deadline)["data"]
            return content["data"] or {}, int(content["metadata"]["version"])
        except Absent as absent:
            return {}, absent.version
        except (KeyError, TypeError, ValueError):
            raise StoreError(f"{self.name}: what answers there is no KV v2 secret") from None

    def _reading(self, version: int | None) -> Callable[[Any], Any]:
        return lambda kv: kv.read_secret_version(
            path=self.path,
            version=version,
            mount_point=self.mount,
            raise_on_deleted_version=True,
        )
