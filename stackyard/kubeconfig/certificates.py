"""The certificates in a kubeconfig, read: until when they hold, and whether they belong together.

X.509 itself is left to `cryptography`.
"""

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from stackyard.kubeconfig.document import Entry, content
from stackyard.kubeconfig.shape import decode

CA, CERTIFICATE, KEY = "certificate-authority-data", "client-certificate-data", "client-key-data"
FORMATS = (TypeError, ValueError, UnsupportedAlgorithm)
Chain = tuple[x509.Certificate, ...]


class CertificateError(Exception):
    """What is wrong with a certificate or a key, without its content."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """What a cluster and its user bring; each may be empty."""

    authorities: Chain
    client: Chain
    key: PublicKeyTypes | None

    def end(self) -> dt.datetime | None:
        """Return when the first of those ends on which every connection depends."""
        ends = [one.not_valid_after_utc for one in self.client[:1]]
        # Any one authority of a bundle may be the server's.
        if self.authorities:
            ends.append(max(one.not_valid_after_utc for one in self.authorities))
        return min(ends, default=None)


def load(cluster: Entry | None, user: Entry | None) -> Certificates:
    """Return what a cluster and a user bring.

    Raises:
        CertificateError: one cannot be read, or the key is not the certificate's.
    """
    authority = content("clusters", cluster).get(CA)
    found = content("users", user)
    loaded = Certificates(
        _chain(CA, authority), _chain(CERTIFICATE, found.get(CERTIFICATE)), _key(found.get(KEY))
    )
    if loaded.client and loaded.key and loaded.client[0].public_key() != loaded.key:
        raise CertificateError(f"its {KEY} is not that of its {CERTIFICATE}")
    return loaded


def mismatch(loaded: Certificates) -> bool:
    """Tell whether the client's certificate says that one of these authorities issued it, falsely.

    A name alone proves nothing: K3s has one authority for servers and another one for clients. But
    where the issuer has an authority's very name and none of that name signed it, the two come from
    different lives of the cluster.
    """
    if not loaded.client:
        return False
    client = loaded.client[0]
    same = [one for one in loaded.authorities if one.subject == client.issuer]
    return bool(same) and not any(_signed(client, one) for one in same)


def _signed(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _chain(field: str, value: Any) -> Chain:
    if value is None or value == "":
        return ()
    return _certificates(field, str(value))


@lru_cache(maxsize=4096)
def _certificates(field: str, value: str) -> Chain:
    try:
        return tuple(x509.load_pem_x509_certificates(decode(value)))
    except FORMATS:
        raise CertificateError(f"its {field} is not a certificate in base64") from None


def _key(value: Any) -> PublicKeyTypes | None:
    if value is None or value == "":
        return None
    try:
        key = load_pem_private_key(decode(str(value)), None, unsafe_skip_rsa_key_validation=True)
    except FORMATS:
        raise CertificateError(f"its {KEY} is not an unencrypted key in base64") from None
    return key.public_key()
