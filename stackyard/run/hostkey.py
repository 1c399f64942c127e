"""One public host key, as OpenSSH writes it."""

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class HostKey:
    """The type (`ssh-ed25519`) and the key itself in base64."""

    type: str
    blob: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `type base64 [comment]`.

        Raises:
            ValueError: the text is no public key.
        """
        type_, blob = (*text.split(), "", "")[:2]
        key = cls(type_, blob)
        try:
            raw = key.raw
            (length,) = struct.unpack(">I", raw[:4])
        except (binascii.Error, struct.error) as error:
            raise ValueError("no public key") from error
        if raw[4 : 4 + length] != key.type.encode():
            raise ValueError("a public key of another type than it says")
        return key

    @property
    def raw(self) -> bytes:
        """The key in SSH's wire format (RFC 4253, section 6.6)."""
        return base64.b64decode(self.blob, validate=True)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 as ssh-keygen -l shows it."""
        digest = hashlib.sha256(self.raw).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.type} {self.blob}"
