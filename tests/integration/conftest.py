"""Fixtures of the integration tests."""

import gc
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab_fixture import lab
from proxmox_lab import FAST, ProxmoxEndpoint, StartEndpoint, end_loop, start_endpoint
from vault_lab import own_vault, proxy, vault

from stackyard.lab.machine import Machines, Simulated
from stackyard.lab.platform_file import EXAMPLE
from stackyard.lab.tls import make_authority, make_server

# Under nohup, or in a shell's background, signals are ignored, and so would all be that is started.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

__all__ = ["lab", "lab_certificate", "own_vault", "proxmox_endpoint", "proxy", "vault"]


@pytest.fixture(scope="session")
def lab_certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A CA, and a certificate for localhost with its key."""
    folder = tmp_path_factory.mktemp("tls")
    ca, cert, key = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
    authority = make_authority("the tests' CA")
    server = make_server(authority, ["localhost"], ["127.0.0.1"])
    key.touch(mode=0o600)
    for path, text in ((ca, authority.pem), (cert, server.certificate), (key, server.key)):
        path.write_text(text)
    return ca, cert, key


@pytest.fixture
def proxmox_endpoint(
    tmp_path: Path, lab_certificate: tuple[Path, Path, Path]
) -> Iterator[StartEndpoint]:
    """Start endpoints: `proxmox_endpoint({"latency": {"clone": 1}}, machines=…)`.

    The example platform is the base; each key of the mapping replaces one of its top-level keys,
    the times (`latency`, `timing`) are merged. `base=` takes another whole document.
    """
    running: list[tuple[ProxmoxEndpoint, threading.Thread]] = []

    def start(
        overrides: Mapping[str, Any] | None = None,
        *,
        machines: Machines | None = None,
        base: Mapping[str, Any] | None = None,
    ) -> ProxmoxEndpoint:
        given = overrides or {}
        document = {**(base or yaml.safe_load(EXAMPLE.read_text())), **given}
        document |= {key: {**value, **given.get(key, {})} for key, value in FAST.items()}
        log = tmp_path / f"requests-{len(running)}.jsonl"
        started = start_endpoint(document, machines or Simulated(), log, lab_certificate)
        running.append(started)
        return started[0]

    yield start
    for endpoint, thread in running:
        endpoint.run(endpoint.endpoint.stop())
        end_loop(endpoint.loop, thread)
    # asyncio never closes a TLS connection whose client left during the answer (a 401, say).
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
