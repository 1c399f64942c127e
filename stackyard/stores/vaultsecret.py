"""A whole secret of Vault KV v2 as one document: the JSON mapping of all its keys.

API: https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2.
"""

import json
from typing import Any

from stackyard.stores.protocol import Conflict, StoreError, Versioned
from stackyard.stores.vault import VaultStore
from stackyard.stores.vaultconnection import Absent
from stackyard.stores.vaultsettings import VaultSettings


class VaultSecret(VaultStore):
    """The secret at a path of a KV v2 mount; one without keys is the same as none."""

    def __init__(self, settings: VaultSettings, mount: str, path: str) -> None:
        super().__init__(settings, mount, path, "")

    def read(self) -> Versioned:
        """Return the secret's keys and values."""
        data, version = self._secret()
        return Versioned(json.dumps(data, ensure_ascii=False) if data else None, str(version))

    def write(self, document: str, version: str) -> None:
        """Replace all keys of the secret, if its version still is the one read.

        Where the answer is lost the same is asked again: check-and-set lets it happen once only.
        """
        self._put(json.loads(document), int(version))

    def delete(self, version: str) -> None:
        """Delete the secret, if this still is its version; Vault can undelete it.

        KV v2 has no check-and-set for removals: the version is named instead, so that one that
        somebody writes at the same moment stays.

        Raises:
            Conflict: there is a newer version.
            StoreError: it could not be deleted.
        """
        if self._secret()[1] != int(version):
            raise Conflict

        def delete(client: Any) -> dict[str, Any]:
            client.secrets.kv.v2.delete_secret_versions(
                self.path, [int(version)], mount_point=self.mount
            )
            return {}

        self._answered(delete)
        if self._secret()[1] != int(version):
            raise Conflict

    def names_beside(self) -> list[str]:
        """Return the names of the secrets in the same folder; folders there are left out.

        Raises:
            StoreError: they could not be listed.
        """
        folder = self.path.rpartition("/")[0]

        def names(client: Any) -> Any:
            return client.secrets.kv.v2.list_secrets(path=folder, mount_point=self.mount)

        try:
            found = self._answered(names)["data"]["keys"]
        except Absent as absent:
            self._expect_kv2(absent)
            return []
        except (KeyError, TypeError):
            raise StoreError(f"{self.name}: the answer is no list of secrets") from None
        return [name for name in found if not name.endswith("/")]
