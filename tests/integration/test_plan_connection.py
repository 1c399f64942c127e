"""Reaching Proxmox: who is trusted, how we log in, what is said when it does not work."""

import hashlib
import logging
import socket
import ssl
from pathlib import Path

import pytest
from proxmox_lab import ProxmoxEndpoint, StartEndpoint

from stackyard.proxmox.client import Client
from stackyard.proxmox.errors import ApiError, ConnectionFailedError
from stackyard.proxmox.settings import Settings


def fingerprint_of(endpoint: ProxmoxEndpoint) -> str:
    port = int(endpoint.url.rpartition(":")[2])
    pem = ssl.get_server_certificate(("127.0.0.1", port))
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def pinned(endpoint: ProxmoxEndpoint, fingerprint: str) -> dict[str, str]:
    return {**endpoint.environ, "PROXMOX_CA": "", "PROXMOX_FINGERPRINT": fingerprint}


def sentence(environ: dict[str, str]) -> str:
    settings = Settings.from_environment(environ)
    with (
        pytest.raises((ApiError, ConnectionFailedError)) as caught,
        Client(settings) as client,
    ):
        client.get("/nodes")
    text = str(caught.value)
    assert "\n" not in text
    assert environ.get("PROXMOX_TOKEN_SECRET", "-") not in text
    return text


def test_the_ca_of_the_settings_is_trusted_whatever_the_environment_says(
    proxmox_endpoint: StartEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with Client(Settings.from_environment(proxmox_endpoint().environ)) as client:
        assert {row["node"] for row in client.get("/nodes")} == {"node01", "node02", "node03"}


def test_a_pinned_certificate_is_trusted_without_its_ca(
    proxmox_endpoint: StartEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    endpoint = proxmox_endpoint()
    environ = pinned(endpoint, fingerprint_of(endpoint))
    with Client(Settings.from_environment(environ)) as client:
        assert len(client.get("/nodes")) == 3


def test_another_certificate_than_the_pinned_one_is_refused(
    proxmox_endpoint: StartEndpoint,
) -> None:
    endpoint = proxmox_endpoint()
    assert "is not the pinned one" in sentence(pinned(endpoint, "ab" * 32))
    assert endpoint.requests() == []


def test_without_ca_and_pin_the_lab_is_not_trusted(proxmox_endpoint: StartEndpoint) -> None:
    endpoint = proxmox_endpoint()
    assert "is not trusted" in sentence({**endpoint.environ, "PROXMOX_CA": ""})


def test_a_file_that_is_no_ca(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("not a certificate")
    assert "cannot be read" in sentence({**proxmox_endpoint().environ, "PROXMOX_CA": str(path)})


def test_a_wrong_token(proxmox_endpoint: StartEndpoint) -> None:
    text = sentence({**proxmox_endpoint().environ, "PROXMOX_TOKEN_SECRET": "wrong-secret"})
    assert text.startswith("Proxmox refused GET /nodes: 401 ")
    assert "check the credentials" in text


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        environ = {
            "PROXMOX_URL": f"https://127.0.0.1:{unused.getsockname()[1]}",
            "PROXMOX_USER": "root@pam",
            "PROXMOX_PASSWORD": "hush",
        }
        text = sentence(environ)
    assert text.startswith("cannot reach Proxmox at https://127.0.0.1:")
    assert "Connection refused" in text


def test_a_password_is_traded_for_one_ticket(proxmox_endpoint: StartEndpoint) -> None:
    endpoint = proxmox_endpoint()
    environ = {
        "PROXMOX_URL": endpoint.url,
        "PROXMOX_USER": "root@pam",
        "PROXMOX_PASSWORD": endpoint.secrets["root@pam"],
        "PROXMOX_CA": str(endpoint.ca),
    }
    with Client(Settings.from_environment(environ)) as client:
        client.get("/nodes")
        path = "/nodes/node02/qemu/110/config"
        client.put(path, description="by ticket", onboot=True)
        assert client.get(path)["onboot"] == 1
    logins = [r for r in endpoint.requests() if r["path"].endswith("/access/ticket")]
    assert len(logins) == 1


def test_reads_are_repeated_and_writes_only_when_nothing_was_done(
    proxmox_endpoint: StartEndpoint,
) -> None:
    endpoint = proxmox_endpoint()
    with Client(Settings.from_environment(endpoint.environ)) as client:
        client.get("/nodes")
        endpoint.set_fault("GET", "/nodes/node02/qemu", status=596, reason="Broken pipe")
        assert len(client.get("/nodes/node02/qemu")) == 2
        path = "/nodes/node02/qemu/110/config"
        endpoint.set_fault("PUT", path, status=595, reason="Connection refused")
        client.put(path, onboot=False)
        endpoint.set_fault("PUT", path, status=500, reason="VM is locked (backup)")
        client.put(path, onboot=True)
        endpoint.set_fault("PUT", path, status=596, reason="Broken pipe")
        with pytest.raises(ApiError, match="596 Broken pipe"):
            client.put(path, onboot=False)


def test_no_secret_is_logged(
    proxmox_endpoint: StartEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    endpoint = proxmox_endpoint()
    with Client(Settings.from_environment(endpoint.environ)) as client:
        client.put("/nodes/node02/qemu/110/config", description="do not log me")
    assert endpoint.token_secret not in caplog.text
    assert "do not log me" not in caplog.text
