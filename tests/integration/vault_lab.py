"""A real OpenBao for tests: the lab's, without machines."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from fault_proxy import Certificate, Proxy, fault_proxy
from lab_fixture import stackyard

from stackyard.lab import control

PATH = "cluster-secret-store/secrets/KUBECONFIG"


class Vault:
    """A lab without machines, for its OpenBao."""

    def __init__(self, folder: Path) -> None:
        done = stackyard("lab", "up", "--no-machines", "--dir", str(folder))
        assert done.returncode == 0, done.stderr
        exports = stackyard("lab", "env", "--dir", str(folder)).stdout.splitlines()
        pairs = (line.removeprefix("export ").split("=", 1) for line in exports)
        self.environ = {name: value.strip("'") for name, value in pairs if "VAULT" in name}
        self.environ["STACKYARD_STORE_DEADLINE"] = "2"
        self.root = json.loads((folder / "vault" / "keys.json").read_text())["root_token"]
        self.folder = folder

    def call(self, method: str, path: str, document: Any = None, namespace: str = "") -> Any:
        """Ask as root, past the product."""
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(
                method,
                f"{self.environ['VAULT_ADDR']}/v1/{path}",
                json=document,
                headers={"X-Vault-Token": self.root, "X-Vault-Namespace": namespace},
                verify=self.environ["VAULT_CACERT"],
                timeout=10,
            )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def secret(self, path: str = PATH) -> dict[str, Any]:
        """Return the secret's keys."""
        found: dict[str, Any] = self.call("GET", f"kv/data/{path}")["data"]["data"]
        return found

    def version(self, path: str) -> int:
        """Return how often the secret was written."""
        return int(self.call("GET", f"kv/data/{path}")["data"]["metadata"]["version"])


def server_of(vault: Vault) -> int:
    """Return the process of a Vault's server."""
    return next(
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if f"-config={vault.folder}/".encode() in path.read_bytes().replace(b"\0", b" ")
    )


@contextmanager
def running_vault(folder: Path) -> Iterator[Vault]:
    """Run an OpenBao for a while."""
    try:
        yield Vault(folder)
    finally:
        control.down(folder)


@pytest.fixture(scope="session")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """One OpenBao for all; each test uses a path of its own."""
    with running_vault(tmp_path_factory.mktemp("vault") / "lab") as started:
        yield started


@pytest.fixture
def own_vault(tmp_path: Path) -> Iterator[Vault]:
    """An OpenBao that a test may break."""
    with running_vault(tmp_path / "lab") as started:
        yield started


@pytest.fixture
def proxy(vault: Vault, lab_certificate: Certificate) -> Iterator[Proxy]:
    """A proxy before the Vault of all, which a test may tell to fail."""
    behind = vault.environ["VAULT_ADDR"], vault.environ["VAULT_CACERT"]
    with fault_proxy(*behind, lab_certificate) as running:
        yield running
