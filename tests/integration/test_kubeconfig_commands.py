"""`stackyard kubeconfig` as a user types it, on files, SOPS files and clusters that answer."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import Certificate
from kube_api import TOKEN, KubeApi, kube_api, kubeconfig_of
from sops_files import make_sops

from stackyard.cli.main import main
from stackyard.kubeconfig import Kubeconfig, dump, parse


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run `stackyard kubeconfig …` in a folder of its own, on the store file:all."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("PATH", f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}")

    def run(*arguments: str, store: str = "file:all") -> Done:
        monkeypatch.setattr(sys, "argv", ["stackyard", "kubeconfig", *arguments, "--store", store])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return run


def cluster(name: str = "default", address: str = "10.0.0.1", token: str = TOKEN) -> Kubeconfig:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": f"https://{address}:6443"}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def write(name: str, document: Kubeconfig) -> str:
    Path(name).write_text(dump(document))
    return name


def stored(file: str = "all") -> Kubeconfig:
    return parse(Path(file).read_text())


def test_many_files_keep_their_names_or_get_their_files(command: Command) -> None:
    both = cluster("one", "10.0.0.1")
    other = cluster("two", "10.0.0.2")
    for kind in ("clusters", "users", "contexts"):
        both[kind] += other[kind]
    files = write("both.yaml", both), write("tools.yaml", cluster(address="10.0.0.3"))
    done = command("merge", *files)
    assert (done.code, done.stderr) == (0, "one: merged\ntwo: merged\ntools: merged\n")
    assert command("list").stdout == (
        "one\thttps://10.0.0.1:6443\ntwo\thttps://10.0.0.2:6443\ntools\thttps://10.0.0.3:6443\n"
    )
    before = Path("all").stat()
    assert command("merge", *files).stderr.count("as it was") == 3
    assert Path("all").stat() == before
    wrong = command("merge", *files, "--context", "x")
    assert (wrong.code, "--context names the context of one file" in wrong.stderr) == (64, True)
    assert command("merge", files[0], "--server", "x").code == 64


def test_one_file_with_names_and_another_host(command: Command) -> None:
    file = write("k3s.yaml", cluster(address="127.0.0.1"))
    given = ("--context", "k8s-tools", "--cluster", "tools", "--server", "192.168.1.15")
    assert command("merge", file, *given).code == 0
    found = stored()
    assert found["clusters"][0]["cluster"]["server"] == "https://192.168.1.15:6443"
    assert found["contexts"][0]["context"] == {"cluster": "tools", "user": "tools"}
    other = command("merge", file, "--context", "k8s-tools", "--server", "192.168.1.99")
    assert other.code == 1
    assert "is there already, with the server https://192.168.1.15:6443" in other.stderr
    assert "(--context), remove the other first, or replace it (--force)" in other.stderr
    assert (
        command("merge", file, "--context", "k8s-tools", "--server", "1.2.3.4", "--force").code == 0
    )
    assert [entry["name"] for entry in stored()["clusters"]] == ["k8s-tools"]


def test_check_writes_nothing_and_diff_masks(command: Command) -> None:
    file = write("a.yaml", cluster("a"))
    checked = command("merge", file, "--check", "--diff")
    assert (checked.code, checked.stderr) == (2, "a: would be merged\n")
    assert "+    server: https://10.0.0.1:6443" in checked.stdout
    assert TOKEN not in checked.stdout
    assert not Path("all").exists()
    command("merge", file)
    assert command("merge", file, "--check").code == 0
    again = command("merge", write("a.yaml", cluster("a", token="other")), "--diff")
    masked = [line for line in again.stdout.splitlines() if "token" in line]
    assert masked == ['-    token: "(masked 1)"', '+    token: "(masked 2)"']
    for code, *arguments in ((2, "remove", "a"), (0, "use", "a"), (2, "export", "out")):
        before = Path("all").read_bytes()
        done = command(*map(str, arguments), "--check", "--diff")
        assert (done.code, "(masked 1)" in done.stdout) == (code, code == 2)
        assert TOKEN not in done.stdout + done.stderr
        assert Path("all").read_bytes() == before
        assert not Path("out").exists()


def test_use_show_and_export(command: Command) -> None:
    command("merge", write("a.yaml", cluster("a")), write("b.yaml", cluster("b", "10.0.0.2")))
    assert stored()["current-context"] == "a"
    assert command("use", "b").stderr == "b: current\n"
    assert parse(command("show", "--minify").stdout) == cluster("b", "10.0.0.2") | {
        "preferences": {}
    }
    write("shown", stored())
    Path("shown").chmod(0o644)
    assert command("show", "--output", "shown").code == 0
    assert (stored("shown"), Path("shown").stat().st_mode & 0o777) == (stored(), 0o600)
    nothing = command("show", "--context", "")
    assert (nothing.code, nothing.stdout) == (1, "")
    assert nothing.stderr == "error: there is no context : there is a, b\n"
    unknown = command("use", "c")
    assert (unknown.code, unknown.stderr) == (1, "error: there is no context c: there is a, b\n")
    mine = cluster("mine", "10.9.9.9")
    write("real", mine)
    Path("config").symlink_to("real")
    assert command("export", "config", "--context", "b").code == 0
    assert Path("config").is_symlink()
    found = stored("real")
    assert [entry["name"] for entry in found["contexts"]] == ["mine", "b"]
    assert found["current-context"] == "mine"
    assert Path("config").stat().st_mode & 0o777 == 0o600


def test_standard_input_and_certificate_files(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = cluster("a")
    document["clusters"][0]["cluster"]["certificate-authority"] = "pki/ca.pem"
    Path("sub/pki").mkdir(parents=True)
    missing = command("merge", write("sub/a.yaml", document))
    assert "sub/a.yaml names pki/ca.pem: No such file" in missing.stderr
    Path("sub/pki/ca.pem").write_bytes(b"PEM")
    done = command("merge", "sub/a.yaml")
    assert "warning: a: its certificate-authority-data is not a certificate" in done.stderr
    data = base64.b64encode(b"PEM").decode()
    assert stored()["clusters"][0]["cluster"]["certificate-authority-data"] == data
    for given, says in (
        (dump(cluster("b")).encode(), "b: merged\n"),
        (dump(cluster("default")).encode(), "the only context is called default"),
        (b"", "standard input is empty"),
        (b"\xff", "standard input cannot be read: it is not UTF-8 text"),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        assert says in command("merge", "-").stderr
    monkeypatch.setattr(sys, "stdin", None)
    assert "standard input is empty" in command("merge", "-").stderr
    assert "-" not in [entry["name"] for entry in stored()["contexts"]]
    assert command("merge", "gone").stderr == "error: gone: there is no such file\n"
    assert command("merge", ".").stderr == "error: . cannot be read: Is a directory\n"


def test_what_a_user_names_relative_to_its_file_is_found_from_everywhere(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = cluster("a")
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
    document["users"][0]["user"] = {"tokenFile": "token", "exec": {"command": "./login", **plugin}}
    Path("sub").mkdir()
    assert command("merge", write("sub/a.yaml", document)).code == 0
    user, here = stored()["users"][0]["user"], Path.cwd() / "sub"
    assert (user["tokenFile"], user["exec"]["command"]) == (f"{here}/token", f"{here}/login")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(dump(document).encode())))
    assert command("merge", "-").code == 0
    assert stored()["users"][0]["user"]["tokenFile"] == "token"  # of a folder that nobody knows
    document["users"][0]["user"] = {"exec": {"command": "aws", **plugin}}  # a program of PATH
    assert command("merge", write("sub/a.yaml", document)).code == 0
    assert stored()["users"][0]["user"]["exec"]["command"] == "aws"


def exec_plugin() -> Kubeconfig:
    document = cluster()
    document["users"][0]["user"] = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "aws",
            "args": ["eks", "get-token"],
            "env": [{"name": "AWS_PROFILE", "value": "prod"}],
            "interactiveMode": "Never",
        }
    }
    document["clusters"][0]["cluster"]["proxy-url"] = "socks5://proxy:1080"
    return document


GOOD = dump(cluster())
LAUGHS = "".join(f"x{n}: &x{n} [{f'*x{n - 1}, ' * 9 if n else 1}]\n" for n in range(9))
INPUTS: dict[str, tuple[str | bytes, int, str]] = {
    "empty": ("", 1, "is empty"),
    "only a comment": ("# nothing\n", 1, "is empty"),
    "clusters null": (GOOD.replace(GOOD[GOOD.index("clusters:") : GOOD.index("users:")],
                                   "clusters: null\n"), 1, "names the cluster default, which"),
    "no contexts": ("apiVersion: v1\nkind: Config\n", 1, "has no context"),
    "exec plugin and proxy": (dump(exec_plugin()), 0, ""),
    "name twice": (GOOD.replace("contexts:\n", "contexts:\n- {name: default}\n"), 1,
                   "has default twice: which one is meant?"),
    "key twice": (f"{GOOD}users: []\n", 1, "has a key twice, again in line"),
    "wrong YAML": ("a: b: c", 1, "is not valid YAML in line 1"),
    "several documents": (f"{GOOD}---\n{GOOD}", 1, "has several YAML documents"),
    "Windows line ends": (GOOD.replace("\n", "\r\n"), 0, ""),
    "byte order mark": (f"\ufeff{GOOD}", 0, ""),
    "JSON": (json.dumps(cluster(), indent=2), 0, ""),
    "aliases": (GOOD.replace(f"token: {TOKEN}", f"token: &t {TOKEN}\n    x-again: *t"), 0, ""),
    "an alias of itself": (f"{GOOD}x: &a [*a]\n", 1, "has an alias inside its own anchor"),
    "not a kubeconfig": ("kind: Pod\n", 1, "is not a kubeconfig"),
    "aliases of aliases": (GOOD + LAUGHS, 1, "has aliases that blow it up"),
    "nested without end": (f"{GOOD}x: {'[' * 100_000}", 1, "is nested more than 100 levels deep"),
    "not UTF-8": (GOOD.encode().replace(b"default", b"d\xe9faut"), 1, "it is not UTF-8 text"),
    "UTF-16, as PowerShell redirects": (GOOD.encode("utf-16"), 1, "it is not UTF-8 text"),
    "NUL": (GOOD.replace("default", "\0"), 1, "is not valid YAML"),
    "users twice": (GOOD.replace("users:\n", "users:\n- {name: default, user: {}}\n"), 1,
                    "users of in.yaml has default twice: which one is meant?"),
    "clusters are a mapping": (GOOD.replace("clusters:\n", "clusters: {}\nx:\n"), 1,
                               "clusters of in.yaml is not a list"),
    "all null": ("clusters: null\nusers: null\ncontexts: null\n", 1, "has no context"),
    "user dangles": (GOOD.replace("user: default", "user: other"), 1, "names the user other"),
    "no user": (GOOD.replace("    user: default\n", ""), 1, "the context default names no user"),
    "cluster is null": (GOOD.replace("  cluster:\n    server:", "  cluster: null\n  x:"), 1,
                        "is not an address as https://host"),
    "no server": (GOOD.replace("server:", "x:"), 1, "is not an address as https://host"),
    "server is no address": (GOOD.replace("https://", ""), 1, "is not an address as https://host"),
    "5 MB": (GOOD + "x-large:\n" + "".join(f"- {n:0100}x\n" for n in range(50_000)), 0, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", INPUTS)
def test_inputs(command: Command, name: str) -> None:
    text, code, says = INPUTS[name]
    Path("in.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    write("all", cluster("kept", "10.0.0.9"))
    before = Path("all").read_bytes()
    done = command("merge", "in.yaml")
    assert (done.code, says in done.stderr) == (code, True), done.stderr
    assert TOKEN not in done.stderr + done.stdout
    if code:
        assert Path("all").read_bytes() == before
        assert len(done.stderr.splitlines()) == 1
    else:
        found, given = stored(), parse(str(text))
        assert len(found["contexts"]) == 2
        assert found["users"][1]["user"] == given["users"][0]["user"]
        assert found["clusters"][1]["cluster"] == given["clusters"][0]["cluster"]


@pytest.fixture
def clusters(lab_certificate: Certificate, command: Command) -> Iterator[dict[str, KubeApi]]:
    """Three clusters that answer, in the store."""
    with ExitStack() as stack:
        running = {name: stack.enter_context(kube_api(lab_certificate)) for name in "abc"}
        for name, api in running.items():
            command("merge", write(f"{name}.yaml", kubeconfig_of(api, lab_certificate, name)))
        yield running


def test_verify_asks_every_cluster(command: Command, clusters: dict[str, KubeApi]) -> None:
    well = command("verify")
    assert (well.code, well.stderr) == (0, "")
    rows = [line.split() for line in well.stdout.splitlines()]
    assert [row[:4] for row in rows[1:]] == [[n, "yes", "v1.33.4+tests", "1/1"] for n in "abc"]
    assert all(300 < int(row[4]) <= 365 for row in rows[1:])
    clusters["b"].nodes = [True, False]
    clusters["c"].status = 401
    command("merge", write("d.yaml", cluster("d", "127.0.0.1")), "--context", "d",
            "--server", "https://127.0.0.1:1")  # fmt: skip
    broken = cluster("e")
    broken["users"][0]["user"]["tokenFile"] = "/run/token"
    command("merge", write("e.yaml", broken), "--context", "e", "--server", "https://127.0.0.1:1")
    ill = command("verify")
    assert (ill.code, ill.stderr) == (1, "error: 4 of 5 clusters fail\n")
    rows = [line.split(maxsplit=5) for line in ill.stdout.splitlines()]
    assert rows[2][3:] == ["1/2", rows[1][4], "1 nodes are not ready"]
    assert "the credentials are refused" in ill.stdout
    assert "nothing listens there" in ill.stdout
    assert "its tokenFile is a file, which others do not have" in ill.stdout
    Path("all").write_text(dump({**stored(), "current-context": "gone"}))
    lost = command("verify", "a")
    assert (lost.code, lost.stderr) == (0, "warning: the current context gone is not there\n")
    assert command("verify", "z").code == 1
    clusters["a"].page = "{}"
    assert "what answers there is no Kubernetes" in command("verify", "a").stdout
    assert TOKEN not in ill.stdout + ill.stderr


@pytest.mark.parametrize(
    ("user", "says"),
    [
        ({}, "its user has no credentials"),
        ({"exec": ["false", "Never"]}, "its exec plugin failed"),
        ({"exec": ["/nonexistent/plugin", "Never"]}, "its exec plugin cannot be run"),
        ({"exec": ["no-such-plugin", "Never"]}, "its exec plugin cannot be run"),
        ({"exec": ["true", "Always"]}, "its exec plugin wants a terminal"),
    ],
)
def test_verify_says_why_nobody_can_log_in(
    command: Command, user: dict[str, list[str]], says: str
) -> None:
    document = cluster("a", "127.0.0.1")
    document["users"][0]["user"] = {
        kind: {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": plugin,
            "interactiveMode": mode,
        }
        for kind, (plugin, mode) in user.items()
    }
    command("merge", write("a.yaml", document))
    done = command("verify", "--timeout", "2")
    assert done.code == 1
    assert done.stdout.rstrip().endswith(says), done.stdout


@pytest.mark.parametrize("seconds", ["nan", "inf", "1e30", "0"])
def test_a_timeout_is_a_number_of_seconds(command: Command, seconds: str) -> None:
    command("merge", write("a.yaml", cluster("a")))
    done = command("verify", "--timeout", seconds)
    assert (done.code, done.stdout, len(done.stderr.splitlines())) == (64, "", 1)
    assert "Invalid value for '--timeout'" in done.stderr


@pytest.fixture
def hung(command: Command, tmp_path: Path) -> Path:
    """A context in the store whose exec plugin never ends, and a file of its processes."""
    pids = tmp_path / "pids"
    pids.touch()
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!/bin/sh\nsleep 1000 &\necho $$ $! >> {pids}\nwait\n")
    plugin.chmod(0o700)
    document = cluster("hung", "127.0.0.1")
    version = "client.authentication.k8s.io/v1"
    run = {"apiVersion": version, "command": str(plugin), "interactiveMode": "Never"}
    document["users"][0]["user"] = {"exec": run}
    command("merge", write("hung.yaml", document))
    return pids


def runs(pid: str) -> bool:
    """Tell whether a process still runs; one that nobody has waited for does not."""
    try:
        stat = Path("/proc", pid, "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def until_ended(pids: Path) -> None:
    """Wait for processes to end: one that was killed still runs until the kernel comes to it."""
    until(lambda: not any(map(runs, pids.read_text().split())))


def test_verify_ends_a_hung_exec_plugin(
    command: Command, hung: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stackyard.stores.kubectl.SLACK_SECONDS", 0.9)
    done = command("verify", "--timeout", "0.1")
    assert done.code == 1
    assert "kubectl or its exec plugin did not end within 1 s" in done.stdout
    assert len(hung.read_text().split()) == 2
    until_ended(hung)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_verify_leaves_nothing_behind(hung: Path, number: int) -> None:
    program = Path(sysconfig.get_path("scripts"), "stackyard")
    arguments = [str(program), "kubeconfig", "verify", "--store", "file:all"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as verify:
        until(lambda: len(hung.read_text().split()) == 2)
        verify.send_signal(number)
        _, said = verify.communicate(timeout=10)
    assert (verify.returncode, said) == (128 + number, b"interrupted\n")
    until_ended(hung)


def until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not there():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_sync_says_which_side_changed(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sops = make_sops(tmp_path / "site")
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", sops.environ["SOPS_AGE_KEY_FILE"])
    twin = "sops:site/KUBECONFIG.yaml"

    def sync(*arguments: str) -> Done:
        return command("sync", "--with", twin, *arguments)

    nothing = sync()
    assert (nothing.code, "neither all nor site/" in nothing.stderr) == (1, True)
    command("merge", write("a.yaml", cluster("a")))
    checked = sync("--check", "--diff")
    assert checked.code == 2
    assert TOKEN not in checked.stdout
    assert not Path("site/KUBECONFIG.yaml").exists()
    first = sync()
    assert (first.code, ": all was taken for site/" in first.stderr) == (0, True)
    assert first.stderr.startswith("site/KUBECONFIG.yaml#")
    assert "KUBECONFIG has none: all was taken" in first.stderr
    before = Path("site/KUBECONFIG.yaml").read_bytes()
    assert sync().stderr == "both agree\n"
    assert Path("site/KUBECONFIG.yaml").read_bytes() == before
    # Both change in the same way: only that they agree is new, and remembered.
    for store in ("file:all", twin):
        command("merge", write("z.yaml", cluster("z", "10.0.0.9")), store=store)
    assert (sync("--check").code, sync().code, sync("--check").code) == (2, 0, 0)
    for store in ("file:all", twin):
        command("remove", "z", store=store)
    assert "both agree, and site/" in sync().stderr
    assert sync().stderr == "both agree\n"
    # The file in Git changes.
    command("merge", write("b.yaml", cluster("b", "10.0.0.2")), store=twin)
    theirs = sync()
    assert theirs.stderr.startswith("site/KUBECONFIG.yaml")
    assert "KUBECONFIG changed since: site/" in theirs.stderr
    assert "  b: added\n" in theirs.stderr
    for keys in ("stackyard", "stackyard.synced", "stackyard.x"):
        own = command("sync", "--with", f"{twin}#{keys}")
        assert (own.code, "is where sync remembers what both had" in own.stderr) == (1, True)
    assert len(stored()["contexts"]) == 2
    # Both change.
    command("merge", write("c.yaml", cluster("c", "10.0.0.3")), store=twin)
    command("remove", "a")
    conflict = sync()
    assert (conflict.code, "both changed since they last agreed" in conflict.stderr) == (5, True)
    assert len(stored()["contexts"]) == 1
    assert command("list", store=twin).stdout.count("\n") == 3
    solved = sync("--prefer", "store")
    assert (solved.code, "  a: removed\n" in solved.stderr) == (0, True)
    assert solved.stderr.startswith("both changed since, and all is preferred: all was taken for")
    assert command("list", store=twin).stdout == "b\thttps://10.0.0.2:6443\n"
    # A side that is lost is filled again.
    Path("all").unlink()
    filled = sync()
    assert (filled.code, filled.stderr.startswith("all has none: site/")) == (0, True)
    assert len(stored()["contexts"]) == 1
    assert TOKEN.encode() not in Path("site/KUBECONFIG.yaml").read_bytes()


def test_unknown_documents_stay(command: Command) -> None:
    extended: dict[str, Any] = cluster("a") | {"extensions": [{"name": "x", "extension": {"y": 1}}]}
    write("all", extended)
    command("merge", write("b.yaml", cluster("b", "10.0.0.2")))
    command("remove", "b")
    assert stored() == extended
