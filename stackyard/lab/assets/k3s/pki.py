"""Certificates of a cluster, made by the `openssl` command: ECDSA P-256 as K3s makes them."""

import hashlib
import ipaddress
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .log import FatalError

TEN_YEARS = 3650
YEAR = 365
RENEW_BELOW_SECONDS = 90 * 24 * 3600

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256")
CA_EXTENSIONS = (
    "basicConstraints=critical,CA:TRUE",
    "keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign",
)
LEAF_EXTENSIONS = (
    "basicConstraints=critical,CA:FALSE",
    "keyUsage=critical,digitalSignature,keyEncipherment",
)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class Pki:
    """The files below server/tls that the program needs."""

    directory: Path

    @property
    def server_ca(self) -> Pair:
        """Signs what serves: clients verify the API by it, join tokens carry its hash."""
        return self._pair("server-ca")

    @property
    def client_ca(self) -> Pair:
        """Signs who may call the API."""
        return self._pair("client-ca")

    @property
    def serving(self) -> Pair:
        """The API's own certificate."""
        return self._pair("serving-kube-apiserver")

    @property
    def admin(self) -> Pair:
        """The administrator's client certificate, which the kubeconfig carries."""
        return self._pair("client-admin")

    def _pair(self, name: str) -> Pair:
        return Pair(self.directory / f"{name}.crt", self.directory / f"{name}.key")


def prepare(pki: Pki, names: Iterable[str], made: int) -> None:
    """Make what is missing; the authorities stay, the API's certificate follows its names.

    `made` tells authorities of different clusters apart: seconds since 1970, as in K3s.
    """
    pki.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for pair, subject in (
        (pki.server_ca, f"/CN=k3s-server-ca@{made}"),
        (pki.client_ca, f"/CN=k3s-client-ca@{made}"),
    ):
        if not pair.cert.exists():
            _make(pair, subject, TEN_YEARS, CA_EXTENSIONS)
    if not pki.admin.cert.exists() or _expires_soon(pki.admin.cert):
        usage = (*LEAF_EXTENSIONS, "extendedKeyUsage=clientAuth")
        _make(pki.admin, "/O=system:masters/CN=system:admin", YEAR, usage, pki.client_ca)
    served = (*LEAF_EXTENSIONS, "extendedKeyUsage=serverAuth", alternative_names(names))
    _make(pki.serving, "/CN=kube-apiserver", YEAR, served, pki.server_ca)


def ca_hash(pki: Pki) -> str:
    """Return the hash that join tokens carry: SHA-256 of the authority's file."""
    return hashlib.sha256(pki.server_ca.cert.read_bytes()).hexdigest()


def alternative_names(names: Iterable[str]) -> str:
    """Return the subjectAltName extension for host names and addresses, each once, in order."""
    parts = dict.fromkeys(f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in names)
    return "subjectAltName=" + ",".join(parts)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _make(
    pair: Pair, subject: str, days: int, extensions: Iterable[str], issuer: Pair | None = None
) -> None:
    """Write a new key (0600) and its certificate, signed by the issuer or by itself."""
    key = pair.key.with_suffix(".key.new")
    cert = pair.cert.with_suffix(".crt.new")
    os.close(os.open(key, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
    signer = ("-CA", str(issuer.cert), "-CAkey", str(issuer.key)) if issuer else ()
    added = [word for extension in extensions for word in ("-addext", extension)]
    done = _openssl(
        "req", "-x509", *CURVE, "-subj", subject, "-days", str(days), *signer, *added,
        "-keyout", str(key), "-out", str(cert),
    )  # fmt: skip
    if done.returncode != 0:
        raise FatalError(f"openssl req failed: {done.stderr.strip()[-300:]}")
    key.replace(pair.key)
    cert.replace(pair.cert)


def _expires_soon(cert: Path) -> bool:
    limit = str(RENEW_BELOW_SECONDS)
    return _openssl("x509", "-checkend", limit, "-noout", "-in", str(cert)).returncode != 0


def _openssl(*words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("openssl")
    if not program:
        raise FatalError("openssl: executable file not found in $PATH")
    # The distribution's openssl.cnf would add extensions of its own, twice those given here.
    environ = {**os.environ, "OPENSSL_CONF": os.devnull}
    return subprocess.run(
        [program, *words], env=environ, capture_output=True, text=True, check=False
    )
