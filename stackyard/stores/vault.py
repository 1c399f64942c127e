"""One key of a Vault KV v2 secret, always written by check-and-set.

API: https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2. A secret that is absent is
written with `cas` 0, a deleted one with its last version. The other keys of the secret stay.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stackyard.stores.protocol import Conflict, StoreError, Versioned
from stackyard.stores.retry import answered
from stackyard.stores.vaultconnection import Absent, Connection, LostAnswerError
from stackyard.stores.vaultsettings import VaultSettings

__all__ = ["VaultSettings", "VaultStore"]
Data = dict[str, Any]
Call = Callable[[Any], Any]
# What a URL reads as something else than a part of a path.
ODD = re.compile(r"[\x00-\x1f\x7f%?#\\]")
NOT_KV2 = "what answers there is no KV v2 secret"


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
        """Connect when the first question is asked.

        Raises:
            StoreError: the mount or the path would lead elsewhere in Vault's API.
        """
        parts = f"{self.mount}/{self.path}".split("/")
        if any(part in {"", ".", ".."} or ODD.search(part) for part in parts):
            raise StoreError(
                f"{'/'.join(parts)!r} is no place in Vault: a part is empty, . or .., or has a"
                " control character or one of % ? # \\"
            )
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

        def put(client: Any) -> Any:
            return client.secrets.kv.v2.create_or_update_secret(
                path=self.path, secret=secret, cas=found, mount_point=self.mount
            )

        def once() -> None:
            nonlocal lost
            try:
                answer = self._ask(put)
            except LostAnswerError:
                lost = True
                raise
            except Conflict:
                if not (lost and self._is_ours(found + 1, secret)):
                    raise
            except Absent:
                raise StoreError(f"{self.name}: {NOT_KV2}") from None
            else:
                if _version(answer.get("data")) != found + 1:
                    raise StoreError(f"{self.name}: {NOT_KV2}")

        try:
            answered(once, self.settings.deadline)
        except LostAnswerError as error:
            raise type(error)(f"{error} (it may or may not be written: run it again)") from None

    def _is_ours(self, version: int, secret: Data) -> bool:
        """Tell whether the version that came after the one we read is what we wrote."""
        try:
            return self._secret(version)[0] == secret
        except StoreError as error:
            raise LostAnswerError(str(error)) from None

    def _secret(self, version: int | None = None) -> tuple[Data, int]:
        try:
            content = self._answered(self._reading(version)).get("data")
        except Absent as absent:
            self._expect_kv2(absent)
            return {}, absent.version
        data = content.get("data") if isinstance(content, dict) else ()
        found = _version(content.get("metadata")) if isinstance(content, dict) else None
        if found is None or not isinstance(data, dict | None):
            raise StoreError(f"{self.name}: {NOT_KV2}")
        return data or {}, found

    def _reading(self, version: int | None) -> Call:
        return lambda client: client.secrets.kv.v2.read_secret_version(
            path=self.path,
            version=version,
            mount_point=self.mount,
            raise_on_deleted_version=True,
        )

    def _expect_kv2(self, absent: Absent) -> None:
        """Refuse a mount of another kind, whose "not found" does not mean "none yet".

        Vault's own command asks the same before each call, and who may use a mount may ask it:
        https://developer.hashicorp.com/vault/api-docs/system/internal-ui-mounts
        """
        if absent.version:  # only KV v2 counts them
            return
        place = f"sys/internal/ui/mounts/{self.mount}"
        answer = self._answered(lambda client: client.read(place))
        found = answer.get("data") or {}
        options = found.get("options")
        if found.get("path") != f"{self.mount}/" or (options or {}).get("version") != "2":
            raise StoreError(f"{self.name}: the mount {self.mount} is not of KV version 2")

    def _ask(self, call: Call) -> dict[str, Any]:
        return self._connection.ask(self.name, call)

    def _answered(self, call: Call) -> dict[str, Any]:
        return answered(lambda: self._ask(call), self.settings.deadline)


def _version(metadata: Any) -> int | None:
    """Return the version in an answer; None where the answer is not of KV v2."""
    found = metadata.get("version") if isinstance(metadata, dict) else None
    return found if isinstance(found, int) else None
