"""Certificates of the tests' own."""

import base64
import datetime as dt
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate with its key, as a kubeconfig has them."""

    certificate: x509.Certificate
    private: ec.EllipticCurvePrivateKey

    @property
    def data(self) -> str:
        return base64.b64encode(self.certificate.public_bytes(serialization.Encoding.PEM)).decode()

    @property
    def key(self) -> str:
        pem = self.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return base64.b64encode(pem).decode()


def pair(
    name: str, issuer: Pair | None = None, days: int = 100, begin: dt.datetime = NOW - DAY
) -> Pair:
    """Make a certificate that holds for some days from now; without an issuer its own."""
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(begin, NOW + days * DAY - DAY))
        .not_valid_after(NOW + days * DAY)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .sign(issuer.private if issuer else private, hashes.SHA256())
    )
    return Pair(certificate, private)
