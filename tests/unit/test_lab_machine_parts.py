"""Small parts of the lab whose mistakes a user would notice late."""

import asyncio
import hashlib
import shutil
import signal
import ssl
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackyard.lab import mirror, processes, requirements, standins, tls
from stackyard.lab.addresses import in_lan, lab_id
from stackyard.lab.errors import LabError
from stackyard.lab.folder import Folder, write_private
from stackyard.lab.machine import Boot, MachineError, Simulated
from stackyard.lab.recipe import make_recipe
from stackyard.lab.sources import Source

BOOT = Boot(
    vmid=100,
    node="node01",
    name="one",
    macs=("BC:24:11:00:00:01", "BC:24:11:00:00:02"),
    addresses=("192.168.1.20/24", "dhcp"),
    gateway="192.168.1.1",
    user_data="#cloud-config\n",
    meta_data="instance-id: 1\n",
    network_config="version: 1\n",
)
SOURCES = (Source("https://mirror.example/debian", "bookworm", ("main",)),)


def test_a_simulated_machine_runs_from_start_to_shutdown_and_answers_meanwhile() -> None:
    async def live() -> None:
        machines = Simulated()
        assert await machines.interfaces(100) is None
        await machines.start(BOOT)
        assert machines.running(100)
        seen = await machines.interfaces(100)
        assert seen is not None
        assert [(one["name"], one["hardware-address"]) for one in seen[1:]] == [
            ("eth0", "bc:24:11:00:00:01"),
            ("eth1", "bc:24:11:00:00:02"),
        ]
        given_address = {
            "ip-address-type": "ipv4",
            "ip-address": "192.168.1.20",
            "prefix": 24,
        }
        assert seen[1]["ip-addresses"] == [given_address]
        assert seen[2]["ip-addresses"] == []
        assert await machines.read_file(100, "/etc/hostname") == b"one\n"
        await machines.shutdown(100, 1.0)
        assert not machines.running(100)
        assert await machines.read_file(100, "/etc/hostname") is None
        await machines.destroy(100)
        await machines.destroy(100)

    asyncio.run(live())


@given(st.sampled_from(["v1.33.5+k3s1", "v1.30.0-rc1+k3s2"]))
def test_the_mirrors_checksums_are_those_of_what_it_serves(version: str) -> None:
    sums = mirror.checksums(version)
    digest = hashlib.sha256(standins.k3s(version)).hexdigest()
    assert sums["sha256sum-amd64.txt"] == f"{digest}  k3s\n"
    assert sums["sha256sum-arm64.txt"] == f"{digest}  k3s-arm64\n"


@pytest.mark.parametrize("version", ["v1.33.5", "latest", "v1.33.5+rke2r1", "../v1.33.5+k3s1"])
def test_the_mirror_has_k3s_versions_only(version: str) -> None:
    assert not mirror.VERSION.fullmatch(version)


def test_a_certificate_holds_for_its_names_and_addresses_by_the_labs_authority(
    tmp_path: Path,
) -> None:
    authority = tls.make_authority("a lab")
    server = tls.make_server(authority, ["vault"], ["192.168.1.8"])
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_text(server.certificate)
    write_private(key, server.key)
    offering = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    offering.load_cert_chain(cert, key)
    for name in ("vault", "192.168.1.8"):
        assert _shakes_hands(offering, authority.pem, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        _shakes_hands(offering, authority.pem, "192.168.1.9")
    with pytest.raises(ssl.SSLCertVerificationError):
        _shakes_hands(offering, tls.make_authority("a lab").pem, "vault")


def _shakes_hands(offering: ssl.SSLContext, authority: str, name: str) -> bool:
    """Do a handshake in memory, as strictly as newer Pythons do by default."""
    trusting = ssl.create_default_context(cadata=authority)
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server, server_hostname=name)
    server = offering.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client.version() == "TLSv1.3"


def test_a_recipes_digest_changes_with_anything_that_goes_into_the_image() -> None:
    recipe = make_recipe("bookworm", "6.1.0", SOURCES)
    others = [
        make_recipe("bookworm", "6.2.0", SOURCES),
        make_recipe("trixie", "6.1.0", SOURCES),
        make_recipe("bookworm", "6.1.0", ()),
        replace(recipe, packages=(*recipe.packages, "vim")),
        replace(recipe, files={**recipe.files, "etc/motd": "hello"}),
        replace(recipe, masked=recipe.masked[1:]),
    ]
    digests = {recipe.digest, *(other.digest for other in others)}
    assert len(digests) == 1 + len(others)
    assert make_recipe("bookworm", "6.1.0", SOURCES).digest == recipe.digest


def test_guests_ask_the_package_proxy_in_plain_http() -> None:
    files = make_recipe("bookworm", "6.1.0", SOURCES).files
    assert " http://mirror.example/debian bookworm main" in files["etc/apt/sources.list"]
    assert "192.168.1.1:3128" in files["etc/apt/apt.conf.d/01lab"]


def test_two_labs_have_two_names_and_one_lab_always_the_same(tmp_path: Path) -> None:
    assert lab_id(tmp_path / "a") != lab_id(tmp_path / "b")
    assert lab_id(tmp_path / "a") == lab_id(tmp_path / "b" / ".." / "a")


@pytest.mark.parametrize(
    "nodes", [["10.0.0.1"], ["192.168.1.8"], ["192.168.1.11", "192.168.1.11"], ["127.0.0.1"]]
)
def test_a_node_needs_an_address_of_its_own_in_the_lan(nodes: list[str]) -> None:
    with pytest.raises(LabError, match=r"a node's address is .* 192\.168\.1\.0/24"):
        in_lan(nodes)


def test_a_process_is_known_by_more_than_its_number(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as sleeper:
        seen = processes.identify(sleeper.pid)
        seen.save(tmp_path / "pid")
        assert processes.load(tmp_path / "pid") == seen
        assert seen.alive
        recycled = replace(seen, started="1")
        assert not recycled.alive
        assert recycled.end(signal.SIGKILL, 1), "somebody else's process counts as ended"
        assert seen.alive, "and is not touched"
        assert seen.end(signal.SIGTERM, 5)
    assert not seen.alive
    assert processes.load(tmp_path / "missing") is None


def test_a_private_file_is_private_from_its_first_byte(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, "new")
    assert file.read_text() == "new"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_lab_folder_is_emptied_with_what_marks_it_last(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "lab")
    folder.create()
    for name in ("settings.json", "a", "z"):
        (folder.path / name).write_text("")
    (folder.path / "machines" / "100").mkdir(parents=True)
    (folder.path / "link").symlink_to(tmp_path)
    folder.empty()
    assert list(folder.path.iterdir()) == []
    assert tmp_path.exists()


def test_missing_programs_are_named_by_their_debian_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "mmdebstrap" else name)
    with pytest.raises(LabError, match=r"need mmdebstrap; run: apt-get install mmdebstrap"):
        requirements.check_programs()


def test_a_machine_error_is_its_text() -> None:
    assert str(MachineError("VM 1 already running")) == "VM 1 already running"
