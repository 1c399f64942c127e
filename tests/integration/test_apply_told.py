"""What an apply did is told and kept, whatever becomes of the screen, the log or the last look."""

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from apply_site import Site, assert_whole, make_site, vm
from fault_site import Commands
from proxmox_lab import StartEndpoint
from terminal import on_terminal

NAMES = ("k8s-0", "k8s-1")


@pytest.fixture
def site(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> Site:
    return make_site(tmp_path / "site", proxmox_endpoint(), count=len(NAMES))


def actions(log: Path) -> list[tuple[str, str, str]]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return sorted((line["vm"], line["action"], line["result"]) for line in lines)


def test_every_change_is_in_the_audit_log_of_the_site(site: Site) -> None:
    assert site.run("apply", "--yes").returncode == 0
    log = site.path / ".stackyard" / "audit.jsonl"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    steps = ("clone", "configure", "configure", "grow", "start")
    assert actions(log) == [(name, step, "done") for name in NAMES for step in steps]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (grown,) = (line for line in lines if (line["vm"], line["action"]) == ("k8s-0", "grow"))
    assert grown["before"]["scsi0"] < grown["after"]["scsi0"] == 8 * 1024**3
    assert grown["task"][0].startswith("UPID:node01:")
    assert site.run("destroy", "k8s-1", "--yes").returncode == 0
    assert ("k8s-1", "delete", "done") in actions(log)


def test_a_line_that_was_cut_short_spoils_no_other(site: Site) -> None:
    log = site.path / "audit.jsonl"
    log.write_text('{"time": "2026-')
    assert site.run("apply", "--yes", "--audit", str(log)).returncode == 0
    torn, *others = log.read_text().splitlines()
    assert torn == '{"time": "2026-'
    assert all(json.loads(line)["result"] == "done" for line in others)


def test_without_an_audit_log_nothing_is_done(site: Site, tmp_path: Path) -> None:
    for arguments in (["--audit", str(tmp_path / "missing" / "audit.jsonl")], []):
        if not arguments:
            (site.path / ".stackyard").write_text("in the way")
        refused = site.run("apply", "--yes", *arguments)
        assert refused.returncode == 1
        assert refused.stderr.startswith("error: ")
        assert "audit log" in refused.stderr
        assert "--audit FILE" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    assert site.writes() == []


def test_no_audit_log_is_called_as_standard_output_is_elsewhere(site: Site) -> None:
    refused = site.run("apply", "--yes", "--audit", "-")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: - is no name of a file here")
    assert not (site.path / "-").exists()
    assert site.writes() == []


def test_no_audit_log_is_appended_to_a_definition(site: Site) -> None:
    definition = site.path / "vms" / "k8s-1.yaml"
    before = definition.read_text()
    refused = site.run("apply", "--yes", "--audit", str(definition))
    said = f"error: {definition} is what the site is read from: name another file\n"
    assert (refused.returncode, refused.stderr, site.writes()) == (1, said, [])
    assert definition.read_text() == before


def test_a_full_disk_leaves_the_audit_log_no_file_for_git_to_take(site: Site) -> None:
    # As a full disk, but for one process.
    command = [sys.executable, "-m", "stackyard.cli.main", "apply", "--yes"]
    full = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *command],
        cwd=site.path,
        env={**os.environ, **site.endpoint.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert full.returncode == 1
    said = f"error: {site.path.resolve()} takes no audit log (File too large): name a file"
    assert full.stderr == f"{said} with --audit FILE\n"
    assert list((site.path / ".stackyard").iterdir()) == []
    (site.path / ".stackyard" / ".gitignore").touch()  # as an earlier version may have left it
    assert site.run("apply", "--yes").returncode == 0
    assert (site.path / ".stackyard" / ".gitignore").read_text() == "*\n"


def test_a_full_disk_under_the_audit_log_halts_and_tells_what_was_reached(site: Site) -> None:
    halted = site.run("apply", "--yes", "--audit", "/dev/full")
    assert halted.returncode == 1
    assert "Traceback" not in halted.stderr
    why = "the audit log /dev/full cannot be written (No space left on device)"
    assert f"error: {why}; what was not told there: " in halted.stderr
    assert "clone of k8s-0 (done)" in halted.stderr
    for name in NAMES:
        (row,) = (line for line in halted.stdout.splitlines() if line.startswith(f"{name} "))
        assert f"halted, for {why}; run it again to finish; done before: clone" in row
    assert {write.rpartition("/")[2] for write in site.writes()} == {"clone"}
    assert site.run("apply", "--yes").returncode == 0
    assert_whole(site, NAMES)
    halted = site.run("destroy", NAMES[0], "--yes", "--audit", "/dev/full")
    assert "apply again" not in halted.stdout + halted.stderr  # which would start it again
    assert "run it again to finish" in halted.stdout


def test_a_vm_that_did_not_move_is_told_where_it_is(site: Site) -> None:
    assert site.run("apply", "--yes", "--limit", "k8s-0").returncode == 0
    site.define({**vm(0), "target_node": "node02"})
    site.endpoint.set_fault("POST", r"/migrate$", status=500, reason="no such luck")

    failed = site.run("apply", "--yes", "--limit", "k8s-0")

    assert failed.returncode == 1
    row = failed.stdout.splitlines()[-1].split()
    assert (row[0], row[2:4]) == ("k8s-0", ["node01", "running"])
    moved = site.run("apply", "--yes", "--limit", "k8s-0")
    assert moved.returncode == 0
    row = moved.stdout.splitlines()[-1].split()
    assert (row[0], row[2:4]) == ("k8s-0", ["node02", "running"])


def test_what_was_reached_is_told_though_nobody_can_look_afterwards(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = Commands(site, monkeypatch, capsys)

    def revoke() -> None:
        site.endpoint.set_fault("GET", "/nodes$", status=401, reason="no such token", times=1000)

    site.endpoint.set_fault("POST", "/status/start$", meanwhile=revoke, times=2)
    unseen = commands.apply()
    assert unseen.code == 1
    for name in NAMES:
        (row,) = (line for line in unseen.out.splitlines() if line.startswith(f"{name} "))
        assert "create: clone, configure, configure, grow, start" in row
    assert "error: nobody could look what is there now: " in unseen.err
    assert "401 no such token" in unseen.err
    commands.finish(NAMES)


def test_that_nobody_hears_of_a_wait_ends_no_step(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = Commands(site, monkeypatch, capsys)
    asked: list[str] = []
    echo = typer.echo

    def gone(message: str, err: bool = False) -> None:
        if "tried again" in message:
            asked.append(message)
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        echo(message, err=err)

    monkeypatch.setattr(typer, "echo", gone)
    site.endpoint.set_fault("GET", "qmclone.*/status", status=503, times=3)
    assert commands.apply().code == 0
    assert asked
    commands.finish(NAMES)


def shell(site: Site, line: str) -> tuple[int, str]:
    """Run a line of bash in which $APPLY is the apply; return its code and what was left to say."""
    # Most shells have no PYTHONUNBUFFERED, and what is buffered is written at the very end.
    usual = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; {line}"],
        env={**usual, **site.endpoint.environ, "APPLY": " ".join(site.command("apply"))},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("$APPLY --yes >&-", 0, "start"),
        ("$APPLY --yes 2>&-", 0, "k8s-1"),
        (
            "$APPLY --yes >/dev/full",
            1,
            "error: the output cannot be written: No space",
        ),
        ("$APPLY --yes 2>/dev/full", 1, "halted, for progress cannot be shown"),
        ("$APPLY --yes | true", 1, ""),
        ("$APPLY <&-", 1, "there is no terminal to ask on"),
    ],
)
def test_streams_that_are_closed_or_full(site: Site, line: str, code: int, said: str) -> None:
    ended, text = shell(site, line)
    assert ended == code, text
    assert said in text
    assert "Traceback" not in text
    assert "Exception ignored" not in text
    assert site.run("apply", "--yes").returncode == 0
    assert_whole(site, NAMES)


@pytest.mark.parametrize(
    ("environ", "live"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm", "CI": "true"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, False),
    ],
)
def test_bars_on_a_terminal_and_lines_elsewhere(
    site: Site, environ: dict[str, str], live: bool
) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "TERM")}
    everything = {**kept, **site.endpoint.environ, **environ}
    code, sent = on_terminal(site.command("apply", "--yes"), everything)
    assert code == 0, sent
    assert ("\x1b[" in sent) == live
    assert ("━" in sent) == live
    assert ("2/2" in sent) == live
    lines = [line for line in sent.splitlines() if line.startswith("[")]
    assert any(line.endswith("k8s-0: clone") for line in lines) != live


def test_a_trouble_stays_above_the_bars(site: Site) -> None:
    site.endpoint.set_fault("PUT", "node01/.*/config$", reason="no [/such] luck")
    everything = {**os.environ, **site.endpoint.environ, "TERM": "xterm"}
    everything.pop("CI", None)
    code, sent = on_terminal(site.command("apply", "--yes"), everything)
    assert code == 1
    assert "k8s-0: configure failed: " in sent
    assert "no [/such] luck" in sent
    assert "1 of 2 VMs did not get there" in sent
