"""Hosts become ready with their keys pinned, and every way not to is a sentence.

A small ssh server stands for the VM, a function for its guest agent.
"""

import base64
import logging
import re
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ssh_server import SshServer, new_key

from stackyard.definitions.load import parse_vm
from stackyard.inventory import build_inventory
from stackyard.proxmox.facts import Facts
from stackyard.proxmox.overlay import lay_over
from stackyard.run.errors import NotYetError, ReadyError
from stackyard.run.hostkey import HostKey
from stackyard.run.knownhosts import KnownHosts
from stackyard.run.probe import Probe
from stackyard.run.ready import wait_ready
from stackyard.run.ssh import own_key
from stackyard.run.target import Readiness, Target


def public(key: paramiko.PKey) -> HostKey:
    return HostKey(key.get_name(), key.get_base64())


@pytest.fixture(autouse=True)
def no_own_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    started = SshServer(new_key(tmp_path / "host"), new_key(tmp_path / "own"))
    yield started
    started.stop()


@pytest.fixture
def target(server: SshServer) -> Target:
    return Target("k8s-x", "127.0.0.1", "node01", 100, "suporte", server.port)


@pytest.fixture
def known(tmp_path: Path) -> KnownHosts:
    return KnownHosts(tmp_path / "known_hosts")


MakeProbe = Callable[..., Probe]


@pytest.fixture
def probe(known: KnownHosts, tmp_path: Path) -> MakeProbe:
    def make(agent: HostKey | str = "must not be asked") -> Probe:
        def read(_target: Target) -> HostKey:
            if isinstance(agent, HostKey):
                return agent
            raise NotYetError(agent)

        return Probe(known, read, tmp_path / "own")

    return make


def wait(target: Target, probe: Probe, timeout: float = 0.0) -> Readiness:
    (result,) = wait_ready([target], probe, timeout)
    return result


def pinned(known: KnownHosts, target: Target) -> list[list[HostKey]]:
    return [[pin.key for pin in known.pins(name)] for name in target.known_names]


def test_a_vm_with_an_agent_is_pinned_by_it(
    server: SshServer, target: Target, probe: MakeProbe, known: KnownHosts
) -> None:
    result = wait(replace(target, has_agent=True, is_fresh=True), probe(server.key))
    assert result.is_ready, result.reason
    assert result.notes == ()
    assert pinned(known, target) == [[server.key], [server.key]]
    assert server.users == {"suporte"}
    assert server.commands == ["cloud-init status --long"]


def test_a_configured_vm_with_a_pin_needs_no_agent(
    server: SshServer, target: Target, probe: MakeProbe, known: KnownHosts
) -> None:
    known.pin(target.known_names, server.key)
    result = wait(replace(target, has_agent=True), probe("QEMU guest agent is not running"))
    assert result.is_ready, result.reason


def test_a_new_vms_key_takes_the_place_of_the_old_pin_and_says_so(
    server: SshServer, target: Target, probe: MakeProbe, known: KnownHosts, tmp_path: Path
) -> None:
    old_pin = public(new_key(tmp_path / "old"))
    known.pin((target.known_names[0], "another"), old_pin)
    result = wait(replace(target, has_agent=True, is_fresh=True), probe(server.key))
    assert result.is_ready, result.reason
    assert old_pin.fingerprint in result.notes[0]
    assert server.key.fingerprint in result.notes[0]
    assert pinned(known, target) == [[server.key], [server.key]]
    assert [pin.key for pin in known.pins("another")] == [old_pin]


@pytest.mark.parametrize(
    "kind", [{"has_agent": True}, {"is_fresh": True}, {}], ids=["old with agent", "fresh", "old"]
)
def test_another_key_is_an_error_and_the_pin_stays(
    target: Target, probe: MakeProbe, known: KnownHosts, tmp_path: Path, kind: dict[str, Any]
) -> None:
    pin = public(new_key(tmp_path / "other"))
    known.pin(target.known_names, pin)
    result = wait(replace(target, **kind), probe(pin), 30)
    assert not result.is_ready
    assert "is not the pinned one" in result.reason
    assert f"{known.path}:1" in result.reason
    assert result.seconds < 10
    assert pinned(known, target) == [[pin], [pin]]


@pytest.mark.parametrize("names", [("127.0.0.1", "k8s-old"), ("192.168.1.20", "k8s-x")])
def test_an_old_pin_is_gone_once_its_line_is_removed(
    target: Target, probe: MakeProbe, known: KnownHosts, tmp_path: Path, names: tuple[str, str]
) -> None:
    target_names = {"127.0.0.1": target.known_names[0], "k8s-x": target.known_names[1]}
    old_names = [target_names.get(name, name) for name in names]
    known.pin(old_names, public(new_key(tmp_path / "other")))
    before = known.path.read_text()
    assert "remove that line" in wait(target, probe(), 30).reason
    assert known.path.read_text() == before
    known.path.write_text("")
    assert wait(target, probe()).is_ready


def test_any_of_several_pinned_keys_will_do(
    server: SshServer, target: Target, probe: MakeProbe, known: KnownHosts
) -> None:
    for key in (server.key, public(new_key(known.path.with_name("other")))):
        known.pin(target.known_names, key)
    before = known.path.read_text()
    result = wait(target, probe())
    assert result.is_ready, result.reason
    assert known.path.read_text() == before


def test_an_old_pin_beside_the_one_that_is_proved_is_pinned_for_no_other_name(
    server: SshServer, target: Target, probe: MakeProbe, known: KnownHosts
) -> None:
    old = public(new_key(known.path.with_name("other")))
    for key in (old, server.key):
        known.pin(target.known_names[:1], key)
    assert wait(target, probe()).is_ready
    assert pinned(known, target) == [[old, server.key], [server.key]]


@pytest.mark.parametrize("of", ["ssh-dss", "sk-ssh-ed25519@openssh.com", "ssh-ed25519", "ssh-rsa"])
def test_a_pinned_key_that_cannot_be_checked_is_told_unless_there_is_another(
    server: SshServer, target: Target, probe: MakeProbe, known: KnownHosts, of: str
) -> None:
    raw = len(of).to_bytes(4, "big") + of.encode() + 2 * b"\0\0\0\1\xff"
    known.pin(target.known_names, HostKey(of, base64.b64encode(raw).decode()))
    result = wait(target, probe(), timeout=5)
    assert result.reason == (
        f"{known.path}:1 has a key of it that cannot be checked ({of}): put its ssh-ed25519 key "
        "there"
    )
    assert server.users == set()
    known.pin(target.known_names, server.key)
    assert wait(target, probe()).is_ready


def test_a_key_that_a_new_vms_agent_does_not_know_yet_is_waited_for(
    target: Target, probe: MakeProbe, tmp_path: Path
) -> None:
    result = wait(
        replace(target, has_agent=True, is_fresh=True), probe(public(new_key(tmp_path / "old")))
    )
    assert "another host key than the guest agent" in result.reason


def test_without_an_agent_the_first_key_is_trusted_with_a_warning(
    server: SshServer, target: Target, probe: MakeProbe, known: KnownHosts
) -> None:
    result = wait(target, probe())
    assert result.is_ready, result.reason
    assert "trusted on first use" in result.notes[0]
    assert server.key.fingerprint in result.notes[0]
    assert pinned(known, target) == [[server.key], [server.key]]
    assert wait(target, probe()).notes == ()


@pytest.mark.parametrize("kind", [{}, {"has_agent": True, "is_fresh": True}], ids=["", "agent"])
def test_a_revoked_key_is_neither_trusted_nor_pinned(
    server: SshServer, target: Target, probe: MakeProbe, known: KnownHosts, kind: dict[str, Any]
) -> None:
    for pin in ("", f"{target.known_names[0]} {server.key}\n"):
        text = f"{pin}@revoked * {server.key}\n"
        known.path.write_text(text)
        result = wait(replace(target, **kind), probe(server.key))
        assert not result.is_ready
        assert f"its host key {server.key.fingerprint} is revoked ({known.path}:" in result.reason
        assert known.path.read_text() == text


def test_a_pin_of_the_address_alone_is_completed(
    server: SshServer, target: Target, probe: MakeProbe, known: KnownHosts
) -> None:
    known.pin(target.known_names[:1], server.key)
    assert wait(target, probe()).is_ready
    assert pinned(known, target) == [[server.key], [server.key]]


def test_pins_that_contradict_each_other_are_an_error(
    server: SshServer, target: Target, probe: MakeProbe, known: KnownHosts, tmp_path: Path
) -> None:
    known.pin(target.known_names[:1], public(new_key(tmp_path / "other")))
    known.pin(target.known_names[1:], server.key)
    result = wait(target, probe(), 30)
    assert not result.is_ready
    assert "different host keys for k8s-x (line 2) and for its address" in result.reason


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (("status: done\n", 0), ""),
        (("status: disabled\n", 0), ""),
        (("bash: cloud-init: command not found\n", 127), ""),
        (("status: done\nextended_status: degraded done\nerrors: []\n", 2), ""),
        (("status: running\n", 0), "cloud-init is not done (status: running)"),
        (("\nstatus: not run\n", 0), "cloud-init is not done (status: not run)"),
        (("Traceback\n", 1), "cloud-init is not done (status: unknown)"),
        (("status: error\nextended_status: error - done\n", 1), "cloud-init ended with an error"),
    ],
)
def test_cloud_init(
    server: SshServer, target: Target, probe: MakeProbe, said: tuple[str, int], reason: str
) -> None:
    server.answer, server.exit_code = said
    result = wait(target, probe())
    assert result.is_ready == (not reason)
    assert reason in result.reason
    assert any("recovered from errors" in note for note in result.notes) == ("degraded" in said[0])


def test_it_waits_until_cloud_init_is_done(
    server: SshServer, target: Target, probe: MakeProbe
) -> None:
    server.answer = "status: running\n"
    asked = probe()

    def then_done(target: Target, note: Callable[[str], None]) -> None:
        try:
            asked(target, note)
        finally:
            server.answer = "status: done\n"

    (result,) = wait_ready([target], then_done, 30)
    assert result.is_ready
    assert len(server.commands) == 2


def test_a_key_that_is_not_let_in_is_told(
    server: SshServer, target: Target, probe: MakeProbe, tmp_path: Path
) -> None:
    server.allowed = new_key(tmp_path / "somebody")
    result = wait(target, probe())
    assert result.reason.endswith("ssh does not accept our key for user suporte")


def test_who_never_answers_keeps_nobody_elses_result(
    target: Target, probe: MakeProbe, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dead = replace(target, name="k8s-dead", port=silent.getsockname()[1])
        silent.close()
        told: list[str] = []
        answers: set[tuple[str, str]] = set()
        began = time.monotonic()
        results = wait_ready(
            [dead, target],
            probe(),
            4.0,
            lambda result: told.append(result.target.name),
            lambda waited, answer: answers.add((waited.name, answer)),
        )
    assert [result.is_ready for result in results] == [False, True]
    assert told == ["k8s-x", "k8s-dead"]
    assert answers == {("k8s-dead", "no ssh yet: Connection refused")}
    assert 4.0 <= time.monotonic() - began < 20
    said = r"not ready after \d+ s; no ssh yet: Connection refused"
    assert re.fullmatch(said, results[0].reason)
    assert not [record for record in caplog.records if record.levelno > logging.ERROR]


def test_who_leaves_is_told_of_the_keys_that_were_trusted_meanwhile(target: Target) -> None:
    other, told = replace(target, name="k8s-other"), dict[str, tuple[str, ...]]()
    is_noted = threading.Event()

    def look(looked: Target, note: Callable[[str], None]) -> None:
        if looked is target:
            is_noted.wait(20)
            return
        note("trusted on first use")
        is_noted.set()
        raise NotYetError("cloud-init is not done")

    def tell(result: Readiness) -> None:
        told[result.target.name] = result.notes
        if result.is_ready:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait_ready([target, other], look, 30, tell)
    assert told == {"k8s-x": (), "k8s-other": ("trusted on first use",)}


def test_an_address_that_is_none_is_told_at_once(target: Target, probe: MakeProbe) -> None:
    result = wait(replace(target, address="x" * 64), probe(), timeout=5)
    assert result.reason == f"its address '{'x' * 64}' is none, and no name of a host"


def test_an_agent_that_is_not_there_is_the_reason(target: Target, probe: MakeProbe) -> None:
    result = wait(replace(target, has_agent=True), probe("QEMU guest agent is not running"))
    assert "QEMU guest agent is not running" in result.reason


def test_a_bug_is_no_reason(target: Target) -> None:
    def broken(_target: Target, _note: Callable[[str], None]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        wait_ready([target, replace(target, name="other")], broken, 1)


def test_ssh_knows_a_host_at_whatever_address_it_has_leased(
    server: SshServer, target: Target, probe: MakeProbe, known: KnownHosts, tmp_path: Path
) -> None:
    assert wait(replace(target, address="localhost"), probe()).is_ready
    text = f"name: k8s-x\ntarget_node: node01\nvariables: {{ansible_port: {server.port}}}\n"
    desired = build_inventory([parse_vm(f"{text}ipconfig0: ip=dhcp\n", "k8s-x.yaml")], known.path)
    card = {"name": "eth0", "mac-address": "", "ip-addresses": ["10.0.0.7/24"]}
    seen = Facts(100, "node01", "k8s-x", "running", tags=("stackyard",), interfaces=(card,))
    variables = lay_over(desired, {"k8s-x": seen}).hosts["k8s-x"].variables
    assert variables["ansible_host"] == "10.0.0.7"

    arguments = shlex.split(variables["ansible_ssh_common_args"])
    login = ["-o", "BatchMode=yes", "-i", f"{tmp_path}/own", "-p", str(server.port)]
    # The address that it has leased this time is another one than was pinned.
    command = ["ssh", "-F", "none", *arguments, *login, "suporte@127.0.0.1", "uptime"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert server.commands[-1] == "uptime"


def test_our_own_key_must_be_readable(tmp_path: Path) -> None:
    assert own_key({}) is None
    new_key(tmp_path / "own")
    assert own_key({"ANSIBLE_PRIVATE_KEY_FILE": str(tmp_path / "own")}) == tmp_path / "own"
    nobodys = Path("~nobody-at-all/own")
    for bad in (tmp_path / "missing", tmp_path, tmp_path / ("n" * 300), nobodys):
        with pytest.raises(ReadyError, match=f"names {bad}, which cannot be read"):
            own_key({"ANSIBLE_PRIVATE_KEY_FILE": str(bad)})


def test_a_passphrase_is_told_at_once(target: Target, known: KnownHosts, tmp_path: Path) -> None:
    key = tmp_path / "locked"
    key.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.BestAvailableEncryption(b"x"),
        )
    )
    probe = Probe(known, lambda _target: HostKey("", ""), key)
    result = wait(target, probe, 30)
    assert "has a passphrase" in result.reason
    assert result.seconds < 10
