"""A whole secret of Vault KV v2 as one document: the JSON mapping of all its keys.

API: https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2.
"""

import json
from dataclasses import dataclass

from stackyard.stores.protocol import Conflict, StoreError, Versioned
from stackyard.stores.vault import VaultStore, _AbsentError, _LostAnswerError


@dataclass(frozen=True, slots=True)
class VaultSecret:
    """The secret that a key belongs to; one without keys is the same as none."""

    of: VaultStore

    @property
    def name(self) -> str:
        """The secret's place in Vault."""
        return self.of.name

    def read(self) -> Versioned:
        """Return the secret's keys and values."""
        data, version = self.of._read()
        return Versioned(json.dumps(data) if data else None, str(version))

    def write(self, document: str, version: str) -> None:
        """Replace all keys of the secret, if its version still is the one read."""
        of = self.of
        secret = json.loads(document)
        try:
            of._ask(lambda kv: kv.create_or_update_secret(
                path=of.path, secret=secret, cas=int(version), mount_point=of.mount))  # fmt: skip
        except _LostAnswerError:
            # The write may have taken effect before the answer was lost, and others may have
            # written since: what is there decides, and it is asked again where that differs.
            if of._read()[0] != secret:
                raise Conflict from None

    def delete(self, version: str) -> None:
        """Delete the secret's latest version, which Vault can undelete.

        Raises:
            Conflict: it is not the version that was read.
            StoreError: it could not be deleted.
        """
        of = self.of
        if self.read().version != version:
            raise Conflict
        of._ask(lambda kv: kv.delete_latest_version_of_secret(
            path=of.path, mount_point=of.mount))  # fmt: skip


def list_secrets(folder: VaultStore) -> list[str]:
    """Return the names of the secrets right below a path; folders below it are left out.

    Raises:
        StoreError: they could not be listed.
    """
    try:
        answer = folder._ask(lambda kv: kv.list_secrets(
            path=folder.path, mount_point=folder.mount))  # fmt: skip
    except _AbsentError:
        return []
    try:
        return [name for name in answer["data"]["keys"] if not name.endswith("/")]
    except (KeyError, TypeError):
        raise StoreError(f"{folder.name}: the answer is no list of secrets") from None
