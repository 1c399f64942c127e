"""A document in a file that SOPS encrypts: https://getsops.io/docs/.

Plain text passes between us and `sops` by standard input and output alone. What is on the disk is
always what SOPS made of it, and only the values that differ are encrypted anew, so that Git shows
just those.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackyard.secrets.metadata import METADATA
from stackyard.stores import sopsfile
from stackyard.stores.file import digest, read_bytes, reason
from stackyard.stores.protocol import Conflict, StoreError, Versioned
from stackyard.stores.replace import locked, replace
from stackyard.stores.sopsdiff import Change, as_json, differences, nested


@dataclass(frozen=True, slots=True)
class SopsFile:
    """A whole file; its document is the YAML text that SOPS decrypts."""

    path: Path
    environ: Mapping[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self.path)

    def read(self) -> Versioned:
        """Return the file in clear; its version is a digest of what is on the disk."""
        content = read_bytes(self.path)
        if content is None:
            return Versioned(None, digest(None))
        return Versioned(sopsfile.decrypt(self.path, content, self.environ), digest(content))

    def write(self, document: str, version: str) -> None:
        """Encrypt the values that differ; a comment that changed alone writes nothing."""
        before = self.read()
        if before.version != version:
            raise Conflict
        if before.document is None:
            wanted = sopsfile.parse(self.path, document)
            changes = [Change((key,), as_json(value, (key,))) for key, value in wanted.items()]
        else:
            changes = self.differences(before.document, document)
        self.change(changes, version)

    def differences(self, before: str, after: str) -> list[Change]:
        """Return what makes one text in clear of the other.

        Raises:
            StoreError: one is no YAML mapping, or has what SOPS cannot set.
        """
        wanted = sopsfile.parse(self.path, after)
        return differences(sopsfile.parse(self.path, before), wanted)

    def change(self, changes: Sequence[Change], version: str) -> None:
        """Set or remove single values, if the version still holds.

        Raises:
            Conflict: it does not.
            StoreError: the file could not be encrypted or written.
        """
        if not changes:
            return
        if any(change.keys[0] == METADATA for change in changes):
            raise StoreError(f"{self.path}: the key {METADATA} is SOPS' own: use another one")
        try:
            path = self.path.resolve()
            with locked(path):
                content = read_bytes(path)
                if digest(content) != version:
                    raise Conflict
                if content is None:
                    mode, made = 0o600, sopsfile.encrypt(path, nested(changes), self.environ)
                else:
                    # In Git it is encrypted and may be read by all; its mode is its owner's choice.
                    mode = path.stat().st_mode & 0o777
                    made = sopsfile.change(path, content, changes, self.environ)
                sopsfile.check_encrypted(self.path, made, changes)
                replace(path, made, mode)
        except (OSError, RuntimeError) as error:
            raise StoreError(f"{self.path} cannot be written: {reason(error)}") from None


@dataclass(frozen=True, slots=True)
class SopsStore:
    """One text in the tree of a SOPS file, found by its keys; the rest of the file stays."""

    file: SopsFile
    keys: tuple[str, ...]

    @property
    def name(self) -> str:
        """The file's path and the keys."""
        return f"{self.file.name}#{'.'.join(self.keys)}"

    def read(self) -> Versioned:
        """Return the text at the keys; its version is the whole file's."""
        found = self.file.read()
        if found.document is None:
            return found
        value: Any = sopsfile.parse(self.file.path, found.document)
        for key in self.keys:
            if value is not None and not isinstance(value, dict):
                raise StoreError(f"{self.name}: what holds {key} is not a mapping")
            value = (value or {}).get(key)
        if value is not None and not isinstance(value, str):
            raise StoreError(f"{self.name} is not a text")
        return Versioned(value, found.version)

    def write(self, document: str, version: str) -> None:
        """Encrypt the text anew, if the file is still the one that was read."""
        self.file.change([Change(self.keys, json.dumps(document))], version)
