"""Join tokens: `K10<hash of the CA>::<user>:<password>`, or the bare password."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from .log import FatalError

PREFIX = "K10"
HASH_LENGTH = 64


@dataclass(frozen=True)
class Token:
    """A parsed token; without a hash its holder trusts whatever CA the server shows."""

    ca_hash: str
    password: str


def parse(text: str) -> Token:
    """Return the parts of a token, or FatalError in K3s's own words."""
    if not text:
        raise FatalError("token must not be empty")
    if not text.startswith(PREFIX):
        return Token("", text)
    ca_hash, separator, credentials = text.removeprefix(PREFIX).partition("::")
    if not separator:
        ca_hash, credentials = "", ca_hash
    if ca_hash and len(ca_hash) != HASH_LENGTH:
        raise FatalError("invalid token CA hash length")
    _user, colon, password = credentials.partition(":")
    if not colon or not password:
        raise FatalError("invalid token format")
    return Token(ca_hash, password)


def settle(directory: Path, given: str, ca_hash: str) -> str:
    """Return the cluster's password; the token files below `directory` keep it across restarts.

    A password given by the configuration must be the one that the cluster was made with.
    """
    path = directory / "token"
    kept = parse(path.read_text(encoding="ascii").strip()).password if path.exists() else ""
    wanted = parse(given).password if given else ""
    if kept and wanted and kept != wanted:
        raise FatalError("bootstrap data already found and encrypted with different token")
    password = kept or wanted or secrets.token_hex(16)
    write_private(path, f"{PREFIX}{ca_hash}::server:{password}\n")
    for alias in ("node-token", "agent-token"):
        link = directory / alias
        if not link.is_symlink():
            link.unlink(missing_ok=True)
            link.symlink_to(path)
    return password


def write_private(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file as a whole; nobody sees it half written or with a wider mode."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
    new.chmod(mode)
    new.replace(path)
