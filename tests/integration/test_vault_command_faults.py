"""The commands that write into Vault, while it fails: nothing lost, nothing twice."""

import os
import signal
import subprocess
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from fault_proxy import Certificate, Fault, Proxy
from in_process import run_here
from many_writers import cluster
from sops_files import make_sops
from vault_lab import Vault, server_of

from stackyard.kubeconfig import dump

SECRET = "hunter2-of-the-tests"
SITE = """\
pools:
  old: {{first: 192.168.1.140, last: 192.168.1.149, block: 2, store: "vault:kv/{path}/pool"}}
"""
COMMANDS = [
    ["pool", "allocate", "pr-1"],
    ["secrets", "sync"],
    ["kubeconfig", "merge", "k8s.yaml"],
]
Done = subprocess.CompletedProcess[str]
Command = Callable[[list[str]], Done]


@pytest.fixture
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A site with a pool, a secret and a cluster, under names of the test's own in Vault."""
    sops = make_sops(tmp_path / "site")
    path = f"commands/{zlib.crc32(request.node.name.encode())}"
    (sops.folder / "inventory").mkdir()
    (sops.folder / "inventory" / "site.yml").write_text(SITE.format(path=path))
    name = path.replace("/", "-")
    (sops.folder / "k8s.yaml").write_text(dump(cluster(name)).replace("default", name))
    made = run_here(
        sops.folder, "secrets", "new", f"common/{path}/secrets/A", "KEY",
        environ=sops.environ, given=SECRET,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return sops.folder


def run(site: Path, vault: Vault, command: list[str], **environ: str) -> Done:
    key = {"SOPS_AGE_KEY_FILE": str(site.parent / f"{site.name}.agekey")}
    given: Mapping[str, str] = {**vault.environ, **key, "STACKYARD_STORE_DEADLINE": "0.5"}
    done = run_here(site, *command, environ={**given, **environ})
    assert SECRET not in done.stdout + done.stderr
    return done


@pytest.fixture
def through(site: Path, vault: Vault, proxy: Proxy, lab_certificate: Certificate) -> Command:
    """Run a command whose Vault is behind the proxy."""
    change = {"VAULT_ADDR": proxy.url, "VAULT_CACERT": str(lab_certificate[0])}
    return lambda command: run(site, vault, command, **change)


def last_line(done: Done) -> str:
    """The error: one sentence, and after it nothing."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    return errors[0]


@pytest.mark.parametrize("command", COMMANDS, ids="-".join)
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault(500), "Vault failed inside"),
        (Fault(429), "Vault has too much to do"),
        (Fault(503), "Vault has no active node now"),
        (Fault(0), "no answer, is it running"),
        (Fault(200, seconds=1), "no answer, is it running"),
        (Fault(403), "the token is wrong or may not do this"),
        (Fault(404, "<html>", "text/html"), "no Vault"),
    ],
)
def test_what_cannot_be_read_is_not_empty(
    through: Command, proxy: Proxy, command: list[str], fault: Fault, says: str
) -> None:
    proxy.stays = fault
    done = through(command)
    assert (done.returncode, done.stdout) == (1 if fault.status in {403, 404} else 4, "")
    assert says in last_line(done)


@pytest.mark.parametrize("forwarded", [True, False])
@pytest.mark.parametrize("status", [0, 500])
@pytest.mark.parametrize("command", COMMANDS, ids="-".join)
def test_a_write_without_an_answer_is_done_once(
    through: Command, proxy: Proxy, command: list[str], forwarded: bool, status: int
) -> None:
    proxy.writes.extend([Fault(status, forwarded=forwarded)] * 1000)
    lost = through(command)
    assert lost.returncode == 4
    assert "it may or may not be written: run it again" in last_line(lost)
    proxy.writes.clear()
    again = through(command)
    assert again.returncode == 0
    assert ("as it was" in again.stderr or "nothing to do" in again.stderr) == forwarded
    after = through(command)
    assert (after.returncode, after.stdout) == (0, again.stdout if command[0] == "pool" else "")


def test_a_vault_that_is_sealed_or_dead_gives_nothing_away(site: Path, own_vault: Vault) -> None:
    first = run(site, own_vault, COMMANDS[0])
    assert first.stdout == "192.168.1.140\n"
    own_vault.call("PUT", "sys/seal")
    sealed = [run(site, own_vault, command) for command in COMMANDS]
    os.kill(server_of(own_vault), signal.SIGKILL)
    dead = [run(site, own_vault, command) for command in COMMANDS]
    assert [done.returncode for done in (*sealed, *dead)] == [4] * 6
    assert [done.stdout for done in (*sealed, *dead)] == [""] * 6
    assert all("Vault is sealed or in maintenance" in last_line(done) for done in sealed)
    assert all("no answer, is it running" in last_line(done) for done in dead)
