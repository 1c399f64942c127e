"""The key pair by which the product reaches the lab's machines."""

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from stackyard.lab.folder import write_private


def make_key(file: Path, comment: str) -> str:
    """Write a new ed25519 key as OpenSSH reads it, and return its public line."""
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    write_private(file, private.decode())
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    line = f"{public.decode()} {comment}"
    write_private(file.with_name(f"{file.name}.pub"), f"{line}\n")
    return line
