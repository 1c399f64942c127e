"""SHA-256 crypt (`$5$…`), the form in which Proxmox keeps `cipassword`.

The algorithm is Ulrich Drepper's "Unix crypt using SHA-256 and SHA-512", 5,000 rounds.
"""

import hashlib
import re
import secrets
from itertools import cycle, islice

_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ROUNDS = 5000
_SALT_CHARACTERS = 8
_ENCRYPTED = re.compile(r"\$(?:[156]|2[ay])(\$.+){2}")


def encrypted(password: str) -> str:
    """Return a password as the configuration keeps it; one that is encrypted stays as it is."""
    if _ENCRYPTED.match(password):
        return password
    return sha256_crypt(
        password, "".join(secrets.choice(_ALPHABET) for _ in range(_SALT_CHARACTERS))
    )


def sha256_crypt(password: str, salt: str) -> str:
    """Return `$5$salt$hash` of a password."""
    key, grain = password.encode(), salt.encode()
    digest = _stretch(key, grain, _start(key, grain))
    order = [(n % 30, (n + 10) % 30, (n + 20) % 30) for n in (21 * i for i in range(10))]
    text = "".join(_letters(bytes(digest[i] for i in three), 4) for three in order)
    return f"$5${salt}${text}{_letters(bytes((0, digest[31], digest[30])), 3)}"


def _start(key: bytes, salt: bytes) -> bytes:
    other = hashlib.sha256(key + salt + key).digest()
    first = hashlib.sha256(key + salt + _repeat(other, len(key)))
    length = len(key)
    while length:
        first.update(other if length & 1 else key)
        length >>= 1
    return first.digest()


def _stretch(key: bytes, salt: bytes, digest: bytes) -> bytes:
    keys = _repeat(hashlib.sha256(key * len(key)).digest(), len(key))
    salts = _repeat(hashlib.sha256(salt * (16 + digest[0])).digest(), len(salt))
    for number in range(_ROUNDS):
        odd = number & 1
        text = keys if odd else digest
        text += salts if number % 3 else b""
        text += keys if number % 7 else b""
        digest = hashlib.sha256(text + (digest if odd else keys)).digest()
    return digest


def _repeat(data: bytes, length: int) -> bytes:
    return bytes(islice(cycle(data), length))


def _letters(data: bytes, count: int) -> str:
    number = int.from_bytes(data, "big")
    return "".join(_ALPHABET[number >> 6 * n & 63] for n in range(count))
