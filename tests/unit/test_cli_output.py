"""What the command line says, and where it cannot."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from stackyard.cli.main import app
from stackyard.cli.progress import Steps
from stackyard.errors import StackyardError

ROOT = Path(__file__).parents[2]
FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("environ", [{}, {"PYTHONUNBUFFERED": "1"}])
@pytest.mark.parametrize("command", [["validate"], ["schema"], ["--help"]])
def test_an_output_that_cannot_be_written_is_one_sentence(
    command: list[str], environ: dict[str, str]
) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "stackyard.cli.main", *command],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **environ},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    said = "error: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_goes_into_a_file_is_utf_8_whatever_the_locale(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "vms").mkdir()
    text = "name: a\ntarget_node: n\nvariables: {x: ü日}\n"
    (tmp_path / "vms" / "a.yaml").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "stackyard.cli.main", "inventory", "export"),
            *("--site", str(tmp_path)),
        ],
        env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert "x: ü日\n" in done.stdout.decode("utf-8")


def test_an_error_is_told_even_if_nothing_can_be_printed(tmp_path: Path) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "stackyard.cli.main", "plan", "--site", str(tmp_path)],
            env={"PATH": os.environ["PATH"]},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "is no site" in done.stderr


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("environ", [{}, {"PYTHONUNBUFFERED": "1"}])
@pytest.mark.parametrize(("option", "code"), [("--site=gone", 1), ("--no-such-option", 64)])
def test_the_exit_code_tells_when_no_error_can_be_printed(
    option: str, code: int, environ: dict[str, str], tmp_path: Path
) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "stackyard.cli.main", "plan", option],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], **environ},
            stderr=full,
            check=False,
        )
    assert done.returncode == code


def stackyard(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stackyard.cli.main", *arguments],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "group", [[], ["inventory"], ["kubeconfig"], ["secrets"], ["pool"], ["lab"], ["addresses"]]
)
def test_help_has_whole_sentences(group: list[str]) -> None:
    commands = stackyard(*group, "--help").stdout.partition("Commands:\n")[2]
    assert commands
    assert "..." not in commands


@pytest.mark.parametrize("group", [[], ["inventory"]])
def test_who_asks_for_nothing_is_shown_what_there_is(group: list[str]) -> None:
    done = stackyard(*group)
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith("Usage: ")
    assert "error" not in done.stderr


def test_who_mistypes_an_option_is_shown_the_help_that_has_it() -> None:
    done = stackyard("kubeconfig", "merge", "--jso")
    assert (done.returncode, done.stderr.count("\n")) == (64, 1)
    assert done.stderr.endswith(" kubeconfig merge --help)\n")


def test_a_clash_of_groups_is_counted_as_every_other_mistake(tmp_path: Path) -> None:
    (tmp_path / "vms").mkdir()
    definition = tmp_path / "vms" / "web.yaml"
    definition.write_text("name: web\ntarget_node: node01\ngroups: [web]\n")
    done = stackyard("validate", "--site", str(tmp_path))
    said = f"{definition}:3: a group is named like the host web\nerror: 1 mistake\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_without_a_cursor_gets_a_line_for_each_step(
    term: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # Rich takes it for a terminal
    monkeypatch.setenv("TERM", term)
    with Steps() as step:
        step("building the image")
        step("starting [the lab]")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("building the image")
    assert second.endswith("starting [the lab]")


def test_a_shell_completes_commands_and_vms(tmp_path: Path) -> None:
    (tmp_path / "vms").mkdir()
    (tmp_path / "vms" / "a.yaml").write_text("name: web\ntarget_node: node01\n")
    (tmp_path / "vms" / "b.yaml").write_text("name: db\ntarget_nod: node01\n")
    bin_folder = Path(sys.executable).parent
    environ = {"PATH": f"{bin_folder}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    script = """
        eval "$(stackyard --show-completion)"
        COMP_WORDS=(stackyard kubeconfig ver) COMP_CWORD=2
        _stackyard_completion stackyard && echo "${COMPREPLY[@]}"
        COMP_WORDS=(stackyard destroy --site . d) COMP_CWORD=4
        _stackyard_completion stackyard && echo "${COMPREPLY[@]}"
        HOME=/dev/null stackyard --install-completion
        exit $?
    """
    bash = ["bash", "--norc", "-c", script]
    done = subprocess.run(
        bash, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "verify\ndb\n")
    assert done.stderr.startswith("error: /dev/null")
    assert done.stderr.count("\n") == 1


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    done = subprocess.run(
        [sys.executable, "-m", "stackyard.cli.main", "--version"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"stackyard {project['version']}\n")


@pytest.mark.parametrize(
    "command",
    [
        *("plan", "apply", "validate", "drift", "ready", "inventory list", "inventory export"),
        *("demo", "import x"),
    ],
)
def test_a_folder_that_is_no_site_is_told_by_its_whole_path(command: str, tmp_path: Path) -> None:
    done = run_in(tmp_path, *command.split())
    said = f"error: {tmp_path} is no site (it has no vms/): name one, --site DIR\n"
    assert (done.returncode, done.stderr) == (1, said)
    assert list(tmp_path.iterdir()) == []  # no lab either


@pytest.mark.parametrize(
    "command",
    ["plan", "secrets tree", "secrets new a/b K", "pool allocate x", "run --commit HEAD", "schema"],
)
def test_a_folder_that_may_not_be_searched_is_not_taken_for_an_empty_one(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.stat

    def refuse(path: "os.PathLike[str] | str", **more: Any) -> os.stat_result:  # as it is for root
        if str(path).startswith(f"{tmp_path}{os.sep}"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **more)

    monkeypatch.setattr(os, "stat", refuse)
    said = f"^{tmp_path} cannot be read: Permission denied$"
    with pytest.raises(StackyardError, match=said):
        app([*command.split(), "--site", str(tmp_path)], standalone_mode=False)


@pytest.mark.parametrize("command", ["secrets tree", "run --commit HEAD"])
def test_a_folder_that_nothing_can_be_in_is_told(command: str, tmp_path: Path) -> None:
    loop, long = tmp_path / "loop", tmp_path / ("n" * 300)
    loop.symlink_to(loop)
    for site, why in ((loop, "Too many levels of symbolic links"), (long, "File name too long")):
        with pytest.raises(StackyardError, match=f"^{site} cannot be read: {why}$"):
            app([*command.split(), "--site", str(site)], standalone_mode=False)


def test_a_file_is_not_written_into_a_folder_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "vms").mkdir()
    (tmp_path / "vms" / "a.yaml").write_text("name: a\ntarget_node: n\n")
    done = run_in(tmp_path, "inventory", "export", "--output", "missing/hosts.yml")
    said = "error: missing/hosts.yml cannot be written: No such file or directory\n"
    assert (done.returncode, done.stderr) == (1, said)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize(
    "command", ["inventory export --output", "plan --out", "plan --markdown --rest"]
)
@pytest.mark.parametrize("file", ["vms/a.yaml", "vms/new.yaml", "inventory/site.yml", "link"])
def test_no_output_takes_the_place_of_what_a_site_is_read_from(
    command: str, file: str, tmp_path: Path
) -> None:
    for folder in ("vms", "inventory"):
        (tmp_path / folder).mkdir()
    (tmp_path / "vms" / "a.yaml").write_text("name: a\ntarget_node: n\n")
    (tmp_path / "inventory" / "site.yml").write_text("nodes: {}\n")
    (tmp_path / "link").symlink_to("vms/a.yaml")
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    done = run_in(tmp_path, *command.split(), file)
    said = f"error: {file} is what the site is read from: name another file\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)
    assert {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == before


def run_in(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "stackyard.cli.main", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
