"""The pins are a known_hosts file that OpenSSH reads alike, and people's lines survive."""

import base64
import hashlib
import hmac
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackyard.inventory.build import known_as
from stackyard.run.errors import ReadyError
from stackyard.run.hostkey import HostKey
from stackyard.run.knownhosts import KnownHosts


def made_up(seed: int, type_: str = "ssh-ed25519") -> HostKey:
    name = type_.encode()
    body = hashlib.sha256(bytes([seed])).digest()
    raw = b"".join(len(part).to_bytes(4, "big") + part for part in (name, body))
    return HostKey(type_, base64.b64encode(raw).decode())


ONE, TWO, RSA = made_up(1), made_up(2), made_up(3, "ssh-rsa")
NAMES = ("192.168.1.20", "k8s-observability")


@pytest.fixture
def known(tmp_path: Path) -> KnownHosts:
    return KnownHosts(tmp_path / "inventory" / "known_hosts")


def keys(known: KnownHosts, name: str) -> list[HostKey]:
    return [pin.key for pin in known.pins(name)]


def test_a_pin_holds_for_address_and_name_and_for_ssh_keygen(known: KnownHosts) -> None:
    assert keys(known, NAMES[0]) == []
    known.pin(NAMES, ONE)
    assert known.path.read_text() == f"192.168.1.20,k8s-observability {ONE}\n"
    for name in NAMES:
        assert keys(known, name) == [ONE]
        found = subprocess.run(
            ["ssh-keygen", "-l", "-F", name, "-f", known.path],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
        )
        assert ONE.fingerprint in found.stdout


def test_pinning_again_changes_nothing(known: KnownHosts) -> None:
    known.pin(NAMES, ONE)
    before = known.path.stat()
    known.pin(NAMES, ONE)
    known.pin(NAMES, ONE, replace=False)
    assert known.path.stat().st_ino == before.st_ino


def test_replacing_takes_the_names_from_every_other_line(known: KnownHosts) -> None:
    known.path.parent.mkdir()
    known.path.write_text(
        f"# by hand\n\n192.168.1.20,other {ONE} comment\nk8s-observability {RSA}\n"
        f"@revoked * {TWO}\nnot a line\nelse {ONE}\n"
    )
    known.pin(NAMES, TWO, replace=True)
    assert known.path.read_text() == (
        f"# by hand\n\nother {ONE} comment\n@revoked * {TWO}\nnot a line\nelse {ONE}\n"
        f"192.168.1.20,k8s-observability {TWO}\n"
    )


def test_a_second_address_is_added(known: KnownHosts) -> None:
    known.pin(NAMES, ONE)
    known.pin(("192.168.1.99", NAMES[1]), ONE)
    assert known.path.read_text().splitlines()[1] == f"192.168.1.99 {ONE}"


def test_hashed_names_are_recognised(known: KnownHosts) -> None:
    salt = bytes(20)
    digest = hmac.digest(salt, NAMES[0].encode(), "sha1")
    hashed = "|1|" + "|".join(base64.b64encode(part).decode() for part in (salt, digest))
    known.path.parent.mkdir()
    known.path.write_text(f"{hashed} {ONE}\n|1|broken {ONE}\n")
    assert keys(known, NAMES[0]) == [ONE]
    assert keys(known, NAMES[1]) == []
    known.pin(NAMES, TWO, replace=True)
    assert keys(known, NAMES[0]) == [TWO]


@pytest.mark.parametrize("gap", ["\t", "  ", " \t "])
def test_words_may_stand_apart_by_tabs(known: KnownHosts, gap: str) -> None:
    known.path.parent.mkdir()
    words = (NAMES[0], ONE.type, ONE.blob, "a", "comment")
    known.path.write_text(f"{gap.join(words)}\n{gap.join(('@revoked', *words))}\n")
    assert keys(known, NAMES[0]) == [ONE]


def test_other_ports_have_other_names() -> None:
    assert known_as("192.168.1.20", 22) == "192.168.1.20"
    assert known_as("192.168.1.20", 2222) == "[192.168.1.20]:2222"


def test_the_mode_and_a_link_stay(known: KnownHosts, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_text("")
    real.chmod(0o600)
    known.path.parent.mkdir()
    known.path.symlink_to(real)
    known.pin(NAMES, ONE)
    assert known.path.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o600
    assert keys(known, NAMES[0]) == [ONE]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["inventory", "real"]


def test_pins_made_at_once_are_all_kept(known: KnownHosts) -> None:
    threads = [
        threading.Thread(target=known.pin, args=((f"10.0.0.{n}", f"vm-{n}"), made_up(n)))
        for n in range(30)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(keys(known, f"vm-{n}") == [made_up(n)] for n in range(30))
    assert len(known.path.read_text().splitlines()) == 30
    assert [p.name for p in known.path.parent.iterdir()] == ["known_hosts"]


def test_a_folder_in_its_place_is_a_sentence(known: KnownHosts) -> None:
    known.path.mkdir(parents=True)
    with pytest.raises(ReadyError, match="known_hosts cannot be read: Is a directory"):
        known.pins("x")


@pytest.mark.parametrize(
    "text", ["", "ssh-ed25519", "ssh-ed25519 !!!", "a b", f"ssh-rsa {ONE.blob}"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="public key"):
        HostKey.parse(text)


@given(st.binary())
def test_no_line_is_lost_whatever_it_says(before: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        known = KnownHosts(Path(folder, "known_hosts"))
        known.path.write_bytes(before)
        known.pin(NAMES, ONE, replace=True)
        after = known.path.read_bytes()
        assert after.startswith(before)
        assert keys(known, NAMES[0]) == keys(known, NAMES[1]) == [ONE]
