"""`stackyard secrets` with the real `sops`, an age key and a real Vault API."""

import base64
import json
import os
import pty
import signal
import subprocess
import sys
import sysconfig
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from in_process import run_here
from sops_files import Sops, make_sops
from vault_lab import Vault

from stackyard.lab import control
from stackyard.secrets.new import document
from stackyard.secrets.sync import plan
from stackyard.secrets.tree import Place
from stackyard.stores import StoreError
from stackyard.stores.guard import guard
from stackyard.stores.secretfiles import read_secret
from stackyard.stores.secrets import carry_out, list_beside, observe
from stackyard.stores.sops import SopsFile
from stackyard.stores.vaultsettings import VaultSettings

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sysconfig.get_path("scripts"))
GRAFANA = "common/cluster-secret-store/secrets/GRAFANA"
DNS = "common/cluster-secret-store/secrets/DNS"
STORED = "cluster-secret-store/secrets"
SECRET = "hunter2-of-the-tests"
PATIENT = {"STACKYARD_STORE_DEADLINE": "60"}


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """An OpenBao of the module's own: what others put beside its secrets would be pruned."""
    folder = tmp_path_factory.mktemp("vault") / "lab"
    try:
        yield Vault(folder)
    finally:
        control.down(folder)


@pytest.fixture
def sops(tmp_path: Path) -> Sops:
    """A site whose rules let SOPS encrypt YAML files."""
    return make_sops(tmp_path / "site")


def run(
    sops: Sops, *arguments: str, given: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run `stackyard secrets …` in the site."""
    environment = {**sops.environ, **environ}
    return run_here(sops.folder, "secrets", *arguments, environ=environment, given=given)


def new(sops: Sops, name: str, **values: str) -> None:
    """Make a secret with values of one line each."""
    done = run(sops, "new", name, *values, given="\n".join(values.values()) + "\n")
    assert done.returncode == 0, done.stderr


def encrypted(sops: Sops, name: str, content: str, *options: str) -> Path:
    """Let the real sops encrypt a file, below the site."""
    plain, path = sops.folder / name, sops.folder / f"encrypted-{name}"
    plain.write_text(content)
    done = subprocess.run(
        [str(SCRIPTS / "sops"), "encrypt", *options, "--age", sops.recipient, str(plain)],
        env=sops.environ,
        capture_output=True,
        check=True,
    )
    plain.unlink()
    path.write_bytes(done.stdout)
    return path


def in_clear(sops: Sops) -> list[Path]:
    """The files of the site that hold the secret in clear."""
    return [
        path
        for path in sops.folder.parent.rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    ]


FILES = {
    "a.yaml": f"# {SECRET}\na: {SECRET}\nb: [1, 2.5, true, null, '', {{c: 2020-01-01}}]\nd: {{}}\n",
    "many.yaml": f"a: {SECRET}\n---\nb: {SECRET}\n",
    "a.json": json.dumps({"a": {"b": [SECRET, 1, None, False, ""]}}),
    "a.env": f"# {SECRET}\nA={SECRET}\nB=\n",
    "a.bin": f"\n{SECRET}\n",
}


@pytest.mark.parametrize("name", FILES)
def test_the_guard_knows_what_the_real_sops_writes(sops: Sops, name: str) -> None:
    (sops.folder / ".sops.yaml").unlink()
    plain = sops.folder / f"plain-{name}"
    plain.write_text(FILES[name])
    assert guard([plain])
    path = encrypted(sops, name, FILES[name])
    assert guard([path]) == []
    # One more value in clear, of the file's own form, past SOPS.
    text = path.read_text()
    planted = {"yaml": f"x: {SECRET}\n{text}", "env": f"X={SECRET}\n{text}"}
    kind = name.rpartition(".")[2]
    path.write_text(planted.get(kind) or text.replace("{", f'{{"x": "{SECRET}",', 1))
    problems = guard([path])
    assert problems
    assert SECRET not in str(problems)


@pytest.mark.parametrize(
    "option", ["--unencrypted-suffix=_clear", "--encrypted-regex=^b$", "--unencrypted-regex=a"]
)
def test_the_guard_refuses_what_sops_was_told_to_leave(sops: Sops, option: str) -> None:
    path = encrypted(sops, "part.yaml", f"a_clear: {SECRET}\nb: {SECRET}\n", option)
    assert [problem.sentence for problem in guard([path])] == ["a_clear is not encrypted"]


def test_the_guard_as_a_command(sops: Sops) -> None:
    new(sops, GRAFANA, PASSWORD=SECRET)
    (sops.folder / "README.md").write_text("sops: is explained here\n")
    (sops.folder / "values.json").write_text('{"sops": {}, "a": 1}')
    (sops.folder / "id").write_text("-----BEGIN OPENSSH PRIVATE " + "KEY-----\n")
    fine = run(sops, "guard", "README.md", f"secrets/{GRAFANA}.yaml", ".sops.yaml")
    assert (fine.returncode, fine.stdout, fine.stderr) == (0, "", "")
    bad = sops.folder / "secrets" / "bad.yaml"
    bad.write_text(f"sops: true\npassword: {SECRET}\n")
    done = run(sops, "guard", ".")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert "id:1: has a private key in clear" in lines
    assert "secrets/bad.yaml:2: password is not encrypted" in lines
    (sops.folder / "secrets" / "BAD.YAML").write_text(f"password: {SECRET}\n")
    assert run(sops, "guard", "secrets/BAD.YAML").returncode == 1
    # No rule is for it, but it says that it is encrypted.
    assert "values.json:1: a is not encrypted" in lines
    assert lines[-1] == "error: 3 files refused"
    assert SECRET not in done.stderr
    # A nearer file of rules takes nothing away from a farther one.
    (sops.folder / "secrets" / ".sops.yaml").write_text("creation_rules: [{path_regex: ^none$}]\n")
    assert "secrets/bad.yaml:2: password" in run(sops, "guard", "secrets").stderr
    (sops.folder / ".sops.yaml").unlink()
    assert "secrets/bad.yaml:2: password" in run(sops, "guard", "secrets").stderr
    both = run(sops, "guard", "nothing.yaml", "id").stderr.splitlines()
    assert both[0] == "nothing.yaml:1: cannot be read: No such file or directory"
    assert both[1] == "id:1: has a private key in clear"
    assert both[-1] == "error: 2 files refused"


def test_the_guard_goes_on_after_a_path_that_cannot_be_looked_at(sops: Sops) -> None:
    (sops.folder / "id").write_text("-----BEGIN OPENSSH PRIVATE " + "KEY-----\n")
    (sops.folder / "loop").symlink_to("loop")
    long = "x" * 300
    done = run(sops, "guard", "loop", long, "id")
    assert (done.returncode, done.stderr.splitlines()) == (
        1,
        [
            "loop:1: cannot be read: Too many levels of symbolic links",
            f"{long}:1: cannot be read: File name too long",
            "id:1: has a private key in clear",
            "error: 3 files refused",
        ],
    )


def test_the_guard_says_that_there_are_no_rules(sops: Sops) -> None:
    (sops.folder / "web.yaml").write_text("name: web\n")
    assert "no .sops.yaml" not in run(sops, "guard", "web.yaml").stderr
    (sops.folder / ".sops.yaml").unlink()
    refused = run(sops, "guard", "web.yaml")
    assert refused.returncode == 1
    lines = refused.stderr.splitlines()
    assert lines[0] == "web.yaml:1: name is not encrypted"
    assert "where no .sops.yaml is above a file, it must be encrypted" in lines[2]


def test_the_hook_of_pre_commit_is_the_guard(sops: Sops) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    program, *arguments = hook["entry"].split()
    assert program == "stackyard"
    (sops.folder / "bad.yaml").write_text(f"password: {SECRET}\n")
    (sops.folder / "README.md").write_text("fine\n")
    for file, code in (("README.md", 0), ("bad.yaml", 1)):
        assert run_here(sops.folder, *arguments, file, environ=sops.environ).returncode == code
    assert hook["id"] in (ROOT / "docs" / "secrets.md").read_text()


def test_a_secret_from_making_to_editing(sops: Sops) -> None:
    new(sops, GRAFANA, USER="admin", PASSWORD=SECRET)
    new(sops, DNS, TOKEN=f"{SECRET}-too")
    assert in_clear(sops) == []
    again = run(sops, "new", GRAFANA, "MORE", "KEYS", given="too few values, but nobody asked")
    assert again.returncode == 1
    assert "is there already: use stackyard secrets edit" in again.stderr
    taken = run(sops, "new", "other/cluster-secret-store/secrets/GRAFANA", "USER", given="x")
    assert f"USER of kv/{STORED}/GRAFANA is defined in secrets/{GRAFANA}.yaml" in taken.stderr
    few = run(sops, "new", "common/x", "A", "B", given="one")
    assert (few.returncode, "has 1 values for 2 keys" in few.stderr) == (64, True)

    no_key = {"SOPS_AGE_KEY_FILE": "/nonexistent"}
    assert run(sops, "tree", **no_key).stdout.splitlines() == [
        f"kv/{STORED}/DNS  (secrets/{DNS}.yaml)",
        "  TOKEN",
        f"kv/{STORED}/GRAFANA  (secrets/{GRAFANA}.yaml)",
        "  USER",
        "  PASSWORD",
    ]
    # Names alone, also of a file that nobody has encrypted yet, or that is none.
    for text in (f"vault: {{kv: {{a: {{KEY: {SECRET}}}}}}}", f"vault: [{SECRET}]", f"{SECRET}: ["):
        (sops.folder / "secrets" / "plain.yaml").write_text(text)
        told = run(sops, "tree")
        assert SECRET not in told.stdout + told.stderr
    (sops.folder / "secrets" / "plain.yaml").unlink()
    assert run(sops, "show", GRAFANA, "PASSWORD").stdout == f"{SECRET}\n"
    assert yaml.safe_load(run(sops, "show", GRAFANA).stdout)["vault"]["kv"]
    assert "has no key X: it has USER, PASSWORD" in run(sops, "show", GRAFANA, "X").stderr
    for outside in ("../x", "common/../../x", "/etc/x"):
        for command in ("show", "edit", "new"):
            keys = ["KEY"] if command == "new" else []
            out = run(sops, command, outside, *keys, given="x", EDITOR="true")
            assert (out.returncode, out.stdout) == (1, "")
            assert " is no name" in out.stderr
    hidden = run(sops, "show", GRAFANA, **no_key)
    assert (hidden.returncode, hidden.stdout) == (1, "")
    assert "no key here decrypts it" in hidden.stderr

    file = sops.folder / "secrets" / f"{GRAFANA}.yaml"
    before = file.read_text()
    seen = sops.folder / "seen"
    editor = f"sh -c 'dirname $0 > {seen}; sed -i s/admin/root/ $0'"
    assert run(sops, "edit", GRAFANA, EDITOR="true").stderr.endswith("as it was\n")
    assert run(sops, "edit", GRAFANA, EDITOR="false").returncode == 1
    broken = run(sops, "edit", GRAFANA, EDITOR="sh -c 'echo \"a: b: c\" >> $0'")
    assert (broken.returncode, "is not valid YAML" in broken.stderr) == (1, True)
    for no_text in ('printf "\\377" > $0', "rm $0"):
        left = run(sops, "edit", GRAFANA, EDITOR=f"sh -c '{no_text}'")
        assert (left.returncode, "left no text in UTF-8" in left.stderr) == (1, True)
    assert file.read_text() == before
    assert run(sops, "edit", GRAFANA, EDITOR=editor).returncode == 0
    assert run(sops, "show", GRAFANA, "USER").stdout == "root\n"
    # The other value is the same text as before, and the copy in memory is gone.
    kept = [line for line in before.splitlines() if "PASSWORD" in line]
    assert kept[0] in file.read_text().splitlines()
    folder = Path(seen.read_text().strip())
    assert folder.is_relative_to("/dev/shm")  # noqa: S108
    assert not folder.exists()
    assert in_clear(sops) == []


def test_a_secret_that_cannot_be_made_leaves_nothing(sops: Sops) -> None:
    rules = sops.folder / ".sops.yaml"
    rules.write_text(rules.read_text().replace(sops.recipient, "age1…"), encoding="utf-8")
    no_key = run(sops, "new", GRAFANA, "PASSWORD", given=SECRET)
    assert (no_key.returncode, "a recipient in .sops.yaml is no age key" in no_key.stderr) == (1, 1)
    rules.unlink()
    no_rules = run(sops, "new", GRAFANA, "PASSWORD", given=SECRET)
    assert (no_rules.returncode, "there is no .sops.yaml" in no_rules.stderr) == (1, True)
    no_mount = run(sops, "new", GRAFANA, "PASSWORD", "--mount", "k v", given=SECRET)
    assert no_mount.stderr == "error: 'k v' is no name of a mount in Vault\n"
    assert not list(sops.folder.rglob("*.yaml"))


def test_an_edit_that_is_ended_leaves_nothing(sops: Sops) -> None:
    new(sops, GRAFANA, PASSWORD=SECRET)
    seen = sops.folder / "seen"
    editor = f"sh -c 'echo $0 > {seen}.new; mv {seen}.new {seen}; exec sleep 60'"
    editing = subprocess.Popen(
        [sys.executable, "-m", "stackyard.cli.main", "secrets", "edit", GRAFANA],
        cwd=sops.folder,
        env=os.environ | sops.environ | {"EDITOR": editor},
    )
    wait_for(seen.exists, editing)
    copy = Path(seen.read_text().strip())
    assert copy.stat().st_mode & 0o777 == 0o600
    assert SECRET in copy.read_text()
    editing.terminate()
    assert editing.wait() == 128 + signal.SIGTERM
    assert not copy.parent.exists()
    assert in_clear(sops) == []


def shell(sops: Sops, script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell, for what only a shell gives a command."""
    return subprocess.run(
        ["/bin/sh", "-c", script],
        cwd=sops.folder,
        env=os.environ | sops.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_edit_without_room_for_its_copy_is_one_sentence(sops: Sops) -> None:
    new(sops, GRAFANA, PASSWORD=SECRET)
    script = f"ulimit -f 0; exec {sys.executable} -m stackyard.cli.main secrets edit {GRAFANA}"
    done = shell(sops, script, EDITOR="true")
    says = "error: the copy to edit cannot be written: File too large\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", says)


# Takes the terminal, changes the text, and waits to be ended; the second time it just ends.
INTERRUPTED = """\
[ -e seen ] && exit
stty -echo
sed -i s/admin/root/ "$1"
dirname "$1" > seen.new
mv seen.new seen
exec sleep 60
"""
ON_ITS_TERMINAL = """\
import os, sys
os.close(os.open(os.ttyname(0), os.O_RDWR))
os.execv(sys.executable, [sys.executable, '-m', 'stackyard.cli.main', *sys.argv[1:]])
"""


def wait_for(done: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    while not done():
        assert process.poll() is None
        time.sleep(0.02)


# The first time that it is to encrypt, Ctrl-C hits it as it hits all that a terminal runs.
INTERRUPTED_SOPS = f"""\
#!/bin/sh
[ "$1" = set ] && [ ! -e interrupted ] && touch interrupted && kill -INT 0
exec {SCRIPTS}/sops "$@"
"""


def edit_on_a_terminal(sops: Sops) -> tuple[subprocess.Popen[bytes], int, Path]:
    """Edit GRAFANA; return the command, our end of its terminal, and the folder of its copy."""
    new(sops, GRAFANA, USER="admin", PASSWORD=SECRET)
    (sops.folder / "editor.sh").write_text(INTERRUPTED)
    ours, theirs = pty.openpty()
    editing = subprocess.Popen(
        [sys.executable, "-c", ON_ITS_TERMINAL, "secrets", "edit", GRAFANA],
        cwd=sops.folder,
        env=os.environ | sops.environ | {"EDITOR": "sh editor.sh"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen = sops.folder / "seen"
    wait_for(seen.exists, editing)
    return editing, ours, Path(seen.read_text().strip())


def read_until_asked(terminal: int) -> bytes:
    said = b""
    while b"Without it your edit is lost" not in said:
        said += os.read(terminal, 1000)
    return said


def test_ctrl_c_takes_no_edit_away(sops: Sops) -> None:
    program = sops.folder / "bin" / "sops"
    program.parent.mkdir()
    program.write_text(INTERRUPTED_SOPS)
    program.chmod(0o755)
    sops.environ["PATH"] = f"{program.parent}:{sops.environ['PATH']}"
    editing, ours, folder = edit_on_a_terminal(sops)
    os.write(ours, b"\x03")
    read_until_asked(ours)
    assert termios.tcgetattr(ours)[3] & termios.ECHO
    os.write(ours, b"\x03y\n")
    assert b"sops failed with" in read_until_asked(ours)
    os.write(ours, b"y\n")
    assert editing.wait() == 0
    os.close(ours)
    assert run(sops, "show", GRAFANA, "USER").stdout == "root\n"
    assert not folder.exists()
    assert in_clear(sops) == []


def test_a_terminal_that_hangs_up_leaves_nothing(sops: Sops) -> None:
    editing, ours, folder = edit_on_a_terminal(sops)
    os.close(ours)
    assert editing.wait() == 128 + signal.SIGHUP
    assert not folder.exists()
    assert in_clear(sops) == []


def test_an_edit_writes_only_what_it_changed(sops: Sops) -> None:
    new(sops, GRAFANA, USER="admin", PASSWORD=SECRET)
    file = sops.folder / "secrets" / f"{GRAFANA}.yaml"
    before = file.read_text()
    commented = run(sops, "edit", GRAFANA, EDITOR="sed -i 1i#new")
    assert commented.returncode == 0
    assert "as it was\n" in commented.stderr
    assert "its comments stay as they were: use sops for them" in commented.stderr
    assert file.read_text() == before
    # Who edits the same file at the same time is not overwritten.
    nested = f"{sys.executable} -m stackyard.cli.main secrets edit {GRAFANA}"
    rival = f"EDITOR='sed -i s/admin/theirs/' {nested} && sed -i s/admin/mine/ $0"
    (sops.folder / "rival.sh").write_text(rival)
    done = run(sops, "edit", GRAFANA, EDITOR='sh -c ". ./rival.sh"')
    assert (done.returncode, "was changed meanwhile: nothing is written" in done.stderr) == (
        1,
        True,
    )
    assert run(sops, "show", GRAFANA, "USER").stdout == "theirs\n"


@pytest.mark.parametrize("odd", ["DAY: 2020-01-01", "DAYS: [a, 2020-01-01]"])
def test_an_edit_quotes_what_is_no_text_as_sync_asks_for(
    sops: Sops, vault: Vault, odd: str
) -> None:
    path = encrypted(sops, "odd.yaml", f"vault: {{kv: {{odd: {{X: {{{odd}, KEY: a}}}}}}}}\n")
    (sops.folder / "secrets").mkdir()
    path.rename(sops.folder / "secrets/odd.yaml")
    assert "of kv/odd/X must be a text: put it in quotes" in sync(sops, vault).stderr
    kept = run(sops, "edit", "odd", EDITOR="sed -i s/KEY:.a/KEY:\\ b/")
    assert "of kv/odd/X must be a text: put it in quotes" in kept.stderr
    text = "vault: {kv: {odd: {X: {DAY: '2020-01-01', KEY: b}}}}"
    done = run(sops, "edit", "odd", EDITOR=f'sh -c "echo \\"{text}\\" > $0"')
    assert done.returncode == 0, done.stderr
    assert read_secret(sops.folder / "secrets/odd.yaml", sops.environ) == {
        "DAY": "2020-01-01",
        "KEY": "b",
    }


def test_an_edit_beside_a_key_that_sops_cannot_name(sops: Sops) -> None:
    path = encrypted(sops, "odd.yaml", "vault: {kv: {odd: {X: {'a[0]': x, KEY: a}}}}\n")
    (sops.folder / "secrets").mkdir()
    path.rename(sops.folder / "secrets/odd.yaml")
    done = run(sops, "edit", "odd", EDITOR="sed -i s/KEY:.a/KEY:\\ b/")
    assert done.returncode == 0, done.stderr
    assert run(sops, "show", "odd", "KEY").stdout == "b\n"


def test_what_a_killed_edit_left_is_swept(sops: Sops) -> None:
    new(sops, GRAFANA, PASSWORD=SECRET)
    killed = subprocess.run(
        [sys.executable, "-m", "stackyard.cli.main", "secrets", "edit", GRAFANA],
        cwd=sops.folder,
        env=os.environ | sops.environ | {"EDITOR": "sh -c 'echo $0 > seen; kill -9 $PPID'"},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    left = Path((sops.folder / "seen").read_text().strip()).parent
    assert run(sops, "edit", GRAFANA, EDITOR="true").returncode == 0
    assert not left.exists()


# Texts that look like something else to one reader of YAML or another.
TRICKY = [
    "1e3", "8e12345", "0o7", "0123", "yes", "n", "12:30", "1_000", "2020-01-01", "~", "null",
    ".inf", "1.10", "9" * 20, "- a", "a: b", "# c", "'q\"", "two\nlines", "ends\n\n", " space ",
    "{{ x }}", "é😀", "=", "<<", "0x4c0883a69102937d6231471b5dbb6204", "0xffffffffffffffff",
    f"0x{'4c08' * 16}", f"0b{'1' * 65}", f"-0x{'f' * 20}", f"0o{'7' * 30}",
]  # fmt: skip


def test_every_text_comes_back_as_it_was(sops: Sops) -> None:
    for number, text in enumerate(TRICKY[:3]):
        new(sops, f"common/tricky/{number}", KEY=text)
    values = {f"KEY{number}": text for number, text in enumerate(TRICKY)}
    store = SopsFile(sops.folder / "secrets" / "tricky.yaml", sops.environ)
    for place in ("first", "again"):  # a new file is encrypted, an old one changed
        text = document(Place("kv", f"tricky/{place}"), values)
        store.write(text, store.read().version)
        assert read_secret(store.path, sops.environ) == values
    for number, text in enumerate(TRICKY[:3]):
        assert run(sops, "show", f"common/tricky/{number}", "KEY").stdout == f"{text}\n"


def test_standard_input_that_is_no_text(sops: Sops) -> None:
    command = f"{sys.executable} -m stackyard.cli.main secrets new common/x/A K"
    for line in (f"printf '\\377' | {command}", f"{command} <&-", f"{command} </dev/null"):
        done = shell(sops, line, LC_ALL="C.UTF-8")
        assert done.returncode == 64
        assert done.stderr.startswith("error: Invalid value: standard input ")
        assert len(done.stderr.splitlines()) == 1


def test_an_edit_without_standard_input(sops: Sops) -> None:
    new(sops, GRAFANA, PASSWORD=SECRET)
    program = f"{SCRIPTS}/stackyard secrets edit {GRAFANA} <&-"
    environ = os.environ | sops.environ
    for editor, code, says in (("true", 0, "as it was"), ("false", 1, "false ended with 1")):
        done = subprocess.run(
            ["/bin/sh", "-c", program],
            cwd=sops.folder,
            env=environ | {"SOPS_EDITOR": editor},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
        assert says in done.stderr


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("one\n", "one"),
        ("one", "one"),
        ("one\r\n", "one"),
        ("BEGIN\nkey\nEND\n", "BEGIN\nkey\nEND\n"),
        ("a\r\nb\r\n", "a\r\nb\r\n"),
        ("a\nb", "a\nb"),
    ],
)
def test_a_text_of_several_lines_keeps_its_end(sops: Sops, given: str, value: str) -> None:
    assert run(sops, "new", "common/x", "KEY", given=given).returncode == 0
    assert read_secret(sops.folder / "secrets/common/x.yaml", sops.environ) == {"KEY": value}


def test_values_a_line_each_with_windows_line_ends(sops: Sops) -> None:
    assert run(sops, "new", "common/x", "A", "B", given="one\r\ntwo\r\n").returncode == 0
    shown = yaml.safe_load(run(sops, "show", "common/x").stdout)
    assert shown == {"vault": {"kv": {"x": {"A": "one", "B": "two"}}}}


def versions(vault: Vault, *names: str) -> dict[str, int]:
    return {
        name: vault.call("GET", f"kv/data/{STORED}/{name}")["data"]["metadata"]["version"]
        for name in names
    }


def sync(
    sops: Sops, vault: Vault, *options: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run `stackyard secrets sync` in the site."""
    return run(sops, "sync", *options, **{**vault.environ, **PATIENT, **environ})


def test_sync_writes_differences_and_nothing_else(sops: Sops, vault: Vault) -> None:
    for name in ("GRAFANA", "KUBECONFIG", "OLD"):
        vault.call("POST", f"kv/data/{STORED}/{name}", {"data": {"OF_VAULT": "x"}})
    new(sops, GRAFANA, USER="admin", PASSWORD=SECRET)
    new(sops, DNS, TOKEN=SECRET, USER="dns")
    new(sops, "common/cluster-secret-store/secrets/KUBECONFIG", KUBECONFIG="older")
    encrypted(sops, "talos.yaml", f"a: {SECRET}\n").rename(sops.folder / "secrets" / "talos.yaml")

    checked = sync(sops, vault, "--check")
    lines = [
        f"+ kv/{STORED}/DNS TOKEN",
        f"+ kv/{STORED}/DNS USER",
        f"+ kv/{STORED}/GRAFANA USER",
        f"+ kv/{STORED}/GRAFANA PASSWORD",
    ]
    assert (checked.returncode, checked.stdout.splitlines()) == (2, lines)
    assert vault.secret(f"{STORED}/GRAFANA") == {"OF_VAULT": "x"}
    done = sync(sops, vault)
    assert (done.returncode, done.stdout.splitlines()) == (0, lines)
    assert f"kept: kv/{STORED}/GRAFANA OF_VAULT is in no file" in done.stderr
    assert "secrets/talos.yaml: has no secret below `vault`, left out" in done.stderr
    assert "warning: " in done.stderr  # USER is a key of both
    assert SECRET not in checked.stdout + checked.stderr + done.stdout + done.stderr
    grafana = {"USER": "admin", "PASSWORD": SECRET}
    assert vault.secret(f"{STORED}/GRAFANA") == {**grafana, "OF_VAULT": "x"}
    assert vault.secret(f"{STORED}/DNS") == {"TOKEN": SECRET, "USER": "dns"}

    before = versions(vault, "GRAFANA", "DNS", "KUBECONFIG", "OLD")
    nothing = sync(sops, vault)
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert nothing.stderr.endswith("nothing to do\n")
    assert versions(vault, *before) == before

    pruned = sync(sops, vault, "--prune")
    assert pruned.stdout.splitlines() == [
        f"- kv/{STORED}/GRAFANA OF_VAULT",
        f"- kv/{STORED}/OLD OF_VAULT",
    ]
    assert vault.secret(f"{STORED}/GRAFANA") == grafana
    assert sorted(vault.call("LIST", f"kv/metadata/{STORED}")["data"]["keys"]) == [
        "DNS", "GRAFANA", "KUBECONFIG", "OLD",
    ]  # fmt: skip
    after = {"GRAFANA": before["GRAFANA"] + 1, **{n: before[n] for n in ("DNS", "KUBECONFIG")}}
    assert versions(vault, *after) == after
    # Every cluster's role writes the kubeconfig: it has a command of its own.
    assert vault.secret(f"{STORED}/KUBECONFIG") == {"OF_VAULT": "x"}
    assert sync(sops, vault, "--prune", "--check").returncode == 0


def test_what_other_commands_write_is_never_pruned(sops: Sops, vault: Vault) -> None:
    taken = {"192.168.1.140": "a"}
    pools = ("ephemeral-clusters/ip-allocations", "ephemeral-clusters/of-the-site")
    for path in pools:
        vault.call("POST", f"kv/data/{path}", {"data": taken})
    (sops.folder / "inventory").mkdir(exist_ok=True)
    (sops.folder / "inventory" / "site.yml").write_text(
        "networks: {lan: {cidr: 192.168.1.0/24}}\npools: {p: {first: 192.168.1.140,"
        f" last: 192.168.1.149, store: 'vault:kv/{pools[1]}#KEY'}}}}\n"
    )
    new(sops, "common/ephemeral-clusters/BESIDE", KEY=SECRET)
    new(sops, f"common/{pools[0]}", OLD="x")
    done = sync(sops, vault, "--prune")
    assert (done.returncode, done.stdout) == (0, "+ kv/ephemeral-clusters/BESIDE KEY\n")
    assert f"left to stackyard pool: kv/{pools[0]}" in done.stderr
    assert [vault.secret(path) for path in pools] == [taken, taken]


def test_a_kubeconfig_elsewhere_is_left_to_its_own_sync(sops: Sops, vault: Vault) -> None:
    def kubeconfig(*arguments: str) -> None:
        given = [*arguments, "--store", "vault:kv/team/KUBECONFIG"]
        environ = {**sops.environ, **vault.environ, **PATIENT}
        done = run_here(sops.folder, "kubeconfig", *given, environ=environ)
        assert done.returncode == 0, done.stderr

    def merge(name: str) -> None:
        parts: dict[str, dict[str, str]] = {
            "cluster": {"server": f"https://{name}.example:6443"},
            "user": {},
            "context": {"cluster": name, "user": name},
        }
        lists = {f"{kind}s": [{"name": name, kind: part}] for kind, part in parts.items()}
        (sops.folder / name).write_text(json.dumps({"kind": "Config", **lists}))
        kubeconfig("merge", name)

    merge("a")
    file = "sops:secrets/common/team/KUBECONFIG.yaml#vault.kv.team.KUBECONFIG.KUBECONFIG"
    kubeconfig("sync", "--with", file)
    merge("b")
    newer = vault.secret("team/KUBECONFIG")
    new(sops, "common/team/OTHER", KEY=SECRET)
    done = sync(sops, vault, "--prune")
    assert (done.returncode, done.stdout) == (0, "+ kv/team/OTHER KEY\n")
    assert "left to stackyard kubeconfig sync: kv/team/KUBECONFIG\n" in done.stderr
    assert vault.secret("team/KUBECONFIG") == newer
    assert "KUBECONFIG" not in run(sops, "external", VAULT_ADDR="https://vault.example").stdout


@pytest.mark.parametrize("after", [{}, {"KEY": "of the files"}])
def test_what_was_written_since_the_plan_stays(vault: Vault, after: dict[str, str]) -> None:
    path = f"since/{len(after)}"
    settings = VaultSettings.from_environment(vault.environ)
    place = Place("kv", path)
    vault.call("POST", f"kv/data/{path}", {"data": {"KEY": "old"}})
    observed = observe([place], settings)
    changes = plan({place: after} if after else {}, observed.secrets)
    vault.call("POST", f"kv/data/{path}", {"data": {"KEY": "theirs"}})
    with pytest.raises(StoreError, match="somebody else wrote it since the plan was made"):
        list(carry_out(changes, observed, settings))
    assert vault.secret(path) == {"KEY": "theirs"}


def test_what_is_beside_a_secret(vault: Vault) -> None:
    settings = VaultSettings.from_environment(vault.environ)
    for path in ("ROOT", "beside/A", "beside/B", "beside/deeper/C"):
        vault.call("POST", f"kv/data/{path}", {"data": {"KEY": "x"}})
    folder = {Place("kv", "beside/A"), Place("kv", "beside/B")}
    assert list_beside([Place("kv", "beside/NEW"), Place("kv", "nowhere/X")], settings) == folder
    # A secret may also be in no folder.
    assert Place("kv", "ROOT") in list_beside([Place("kv", "NEW")], settings)


def test_sync_is_all_or_nothing(sops: Sops, vault: Vault) -> None:
    new(sops, "common/whole/secrets/A", KEY=SECRET)
    new(sops, "common/whole/secrets/B", KEY=SECRET)
    path = sops.folder / "secrets" / "common" / "whole" / "secrets" / "B.yaml"
    good = path.read_text()

    def refused(says: str) -> None:
        done = sync(sops, vault, "--prune")
        assert (done.returncode, done.stdout) == (1, "")
        assert says in done.stderr
        assert "Traceback" not in done.stderr
        assert SECRET not in done.stderr
        with pytest.raises(Exception, match="404"):
            vault.secret("whole/secrets/A")

    other = path.rename(path.with_suffix(".YAML"))
    refused("B.YAML ends in .YAML: write .yaml")
    other.rename(path)
    path.write_text(good.replace("KEY: ENC[AES256_GCM,data:", "KEY: ENC[AES256_GCM,data:AAAA"))
    refused("secrets/common/whole/secrets/B.yaml: it was changed past SOPS")
    path.write_text(f"vault: {{kv: {{whole: {{secrets: {{B: {{KEY: {SECRET}}}}}}}}}}}\n")
    refused("secrets/common/whole/secrets/B.yaml: it is not encrypted by SOPS")
    path.write_text("a: b: c\n")
    refused("secrets/common/whole/secrets/B.yaml: ")
    path.unlink()
    path.symlink_to("gone")
    refused("secrets/common/whole/secrets/B.yaml is not there")
    path.unlink()
    path.write_text(good)
    other = sops.folder / "secrets" / "B-again.yaml"
    other.write_text(good)
    refused("KEY of kv/whole/secrets/B is defined in secrets/B-again.yaml:")
    other.unlink()
    assert sync(sops, vault).returncode == 0
    nobody = {"VAULT_ADDR": "https://127.0.0.1:1", "STACKYARD_STORE_DEADLINE": "0.1"}
    lost = sync(sops, vault, **nobody)
    assert (lost.returncode, lost.stdout) == (4, "")
    assert "no answer, is it running?" in lost.stderr


def test_manifests_for_what_the_files_name(sops: Sops) -> None:
    new(sops, GRAFANA, PASSWORD=SECRET)
    new(sops, "common/cluster-secret-store/secrets/KUBECONFIG", KUBECONFIG=SECRET)
    address = {"VAULT_ADDR": "https://vault.example:8200", "SOPS_AGE_KEY_FILE": "/nonexistent"}
    done = run(sops, "external", **address)
    store, secret = yaml.safe_load_all(done.stdout)
    assert store["kind"] == "ClusterSecretStore"
    data = secret["spec"]["externalSecretSpec"]["data"]
    assert [one["remoteRef"]["key"] for one in data] == [f"{STORED}/GRAFANA"]
    both = run(sops, "external", "GRAFANA", "KUBECONFIG", **address)
    assert both.stdout.count("secretKey") == 2
    assert "there is no secret X" in run(sops, "external", "X", **address).stderr
    assert "VAULT_ADDR must be set" in run(sops, "external", VAULT_ADDR="").stderr


def test_no_key_beside_a_certificate_gets_into_manifests(
    sops: Sops, lab_certificate: tuple[Path, Path, Path]
) -> None:
    new(sops, GRAFANA, PASSWORD=SECRET)
    certificate, _, key = (path.read_text() for path in lab_certificate)
    authority = sops.folder / "both.pem"
    address = {"VAULT_ADDR": "https://vault.example:8200", "VAULT_CACERT": str(authority)}
    authority.write_text(f"# ours\n{key}{certificate}")
    store, _ = yaml.safe_load_all(run(sops, "external", **address).stdout)
    bundle = base64.b64decode(store["spec"]["provider"]["vault"]["caBundle"]).decode()
    assert bundle == certificate
    authority.write_text(key)
    refused = run(sops, "external", **address)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"error: VAULT_CACERT: {authority} has no certificate in PEM\n"


PLAY = """\
- hosts: localhost
  gather_facts: false
  vars:
    name: NAME
    password: "{{ lookup('secret', name, site=SITE, key='PASSWORD') }}"
    whole: "{{ lookup('secret', name, site=SITE) }}"
  tasks:
    - name: Compare
      ansible.builtin.assert:
        that:
          - password == lookup('env', 'EXPECTED')
          - whole == dict(USER='admin', PASSWORD=password)
          - "'x' ~ password == 'x' ~ lookup('env', 'EXPECTED')"
      no_log: true
    - name: Ask for a number
      ansible.builtin.debug:
        msg: "{{ lookup('secret', 5, site=SITE) }}"
      ignore_errors: true
    - name: Ask for a key that is not there
      ansible.builtin.debug:
        msg: "{{ lookup('secret', name, site=SITE, key='NONE') }}"
"""


def test_plays_have_secrets_in_memory(sops: Sops, tmp_path: Path) -> None:
    # Whoever can write a secret must not run code in a play.
    password = f"{SECRET}{{{{ lookup('pipe', 'touch ran') }}}}{{% for x in y %}}"
    new(sops, GRAFANA, USER="admin", PASSWORD=password)
    book = tmp_path / "play.yml"
    book.write_text(PLAY.replace("NAME", GRAFANA, 1).replace("SITE", f"'{sops.folder}'"))
    environ: Mapping[str, str] = {**os.environ, **sops.environ, "EXPECTED": password}
    done = subprocess.run(
        [str(SCRIPTS / "ansible-playbook"), "-i", "localhost,", "-vvv",
         str(book)],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert "ok=2" in done.stdout, said
    assert "secrets/5.yaml is not there" in said
    assert f"{GRAFANA}.yaml has no key NONE: it has USER, PASSWORD" in said
    assert SECRET not in said
    assert in_clear(sops) == []
    assert not (ROOT / "ran").exists()
