"""Signals at any point, and two runs at once: no VM twice, none half made, a clear end."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from apply_site import NAMES, Site, assert_whole, make_site
from proxmox_lab import StartEndpoint
from terminal import on_terminal

SLOW = {"latency": {"clone": 0.4, "resize": 0.1, "start": 0.2}}


def kill_after(site: Site, requests: int) -> bool:
    """Kill an apply once it has made so many writes; tell whether it was still running."""
    process = site.begin("apply", "--yes")
    before = len(site.writes())
    try:
        while process.poll() is None and len(site.writes()) - before < requests:
            time.sleep(0.01)
        was_running = process.poll() is None
        process.send_signal(signal.SIGKILL)
    finally:
        process.communicate()
    return was_running


@pytest.mark.parametrize("writes", [1, 4, 6, 9, 13, 17, 21])
def test_a_killed_apply_is_finished_by_the_next(
    proxmox_endpoint: StartEndpoint, tmp_path: Path, writes: int
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(SLOW))
    assert kill_after(site, writes)
    second = site.run("apply", "--yes")
    assert second.returncode == 0, second.stdout + second.stderr
    assert_whole(site)


def test_an_apply_that_is_killed_again_and_again_ends_whole(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(SLOW))
    for _ in range(4):
        kill_after(site, 5)
    last = site.run("apply", "--yes")
    assert last.returncode == 0, last.stdout + last.stderr
    assert_whole(site)


def test_two_applies_at_once_make_each_vm_once(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(SLOW))
    both = [site.begin("apply", "--yes") for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=120)
        assert process.returncode in (0, 1)
        assert "Traceback" not in err
        if process.returncode:
            assert "perhaps by another apply" in out
    assert [row["name"] for row in site.vms()] == [*NAMES, "legacy"]
    assert site.run("apply", "--yes").returncode == 0
    assert_whole(site)


def test_two_applies_of_overlapping_parts_make_each_vm_once(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(SLOW))
    parts = ("k8s-0,k8s-1,k8s-2", "k8s-[2-4]")
    both = [site.begin("apply", "--yes", "--limit", part) for part in parts]
    for process in both:
        out, err = process.communicate(timeout=120)
        assert process.returncode in (0, 1)
        assert "Traceback" not in err
        failed = [line for line in out.splitlines() if "perhaps by another apply" in line]
        assert all(line.startswith("k8s-2 ") for line in failed)
        assert bool(failed) == bool(process.returncode)
    assert [row["name"] for row in site.vms()] == [*NAMES, "legacy"]
    assert site.run("apply", "--yes").returncode == 0
    assert_whole(site)


def interrupted(site: Site, signals: int) -> tuple[int, str, str]:
    """Interrupt an apply in its first clone, as often as given; the clones go on as they may."""
    process = site.begin("apply", "--yes")
    while process.poll() is None and not site.writes():
        time.sleep(0.01)
    errors: list[str] = []
    assert process.stderr is not None
    for _ in range(signals):
        process.send_signal(signal.SIGINT)
        while signals > 1 and not any("interrupted" in line for line in errors):
            errors.append(process.stderr.readline())
    out, err = process.communicate(timeout=60)
    return process.returncode, out, "".join(errors) + err


def test_an_interruption_waits_for_what_runs_and_begins_nothing(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint({"latency": {"clone": 1.5}}))
    code, out, err = interrupted(site, 1)
    assert code == 130
    assert err.splitlines()[-1] == "interrupted"
    assert "nothing more is begun; waiting for k8s-" in err
    assert "(clone)" in err
    assert "interrupted; run it again to finish" in out
    assert "Traceback" not in err
    assert not any("lock" in row for row in site.vms())
    assert {w.rpartition("/")[2] for w in site.writes()} == {"clone"}
    log = (site.path / ".stackyard" / "audit.jsonl").read_text().splitlines()
    assert {json.loads(line)["action"] for line in log} == {"clone"}
    assert site.run("apply", "--yes").returncode == 0
    assert_whole(site)


def test_a_second_interruption_leaves_at_once(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint({"latency": {"clone": 20}}), count=1)
    code, out, err = interrupted(site, 2)
    assert code == 130
    assert_left_in_its_clone(site, out, err)


def assert_left_in_its_clone(site: Site, out: str, err: str) -> None:
    """What goes on in Proxmox is told and written down, and the next apply finds it."""
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err
    (entry,) = audited(site)
    (upid,) = entry["task"]
    assert (entry["vm"], entry["action"], entry["result"]) == ("k8s-0", "clone", "failed")
    told = f"clone: stopped before its end; run it again to finish (its task in Proxmox: {upid})"
    assert out.splitlines()[-1].endswith(told)
    assert "clone" in [row.get("lock") for row in site.vms()]
    assert [write.rpartition("/")[2] for write in site.writes()] == ["clone"]


def audited(site: Site) -> list[dict[str, Any]]:
    log = (site.path / ".stackyard" / "audit.jsonl").read_text()
    return [json.loads(line) for line in log.splitlines()]


def until_a_write(site: Site, process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> None:
    while process.poll() is None and not site.writes():
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_cancelled_job_and_a_closed_terminal_leave_at_once_and_tell_it(
    proxmox_endpoint: StartEndpoint, tmp_path: Path, number: int
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint({"latency": {"clone": 60}}), count=1)
    process = site.begin("apply", "--yes")
    until_a_write(site, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert_left_in_its_clone(site, out, err)


def leave(process: "subprocess.Popen[str]") -> str:
    """Cancel a job, which has some seconds before it is killed; return what it said."""
    begun = time.monotonic()
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert time.monotonic() - begun < 10
    assert err.splitlines()[-1] == "interrupted"
    return out


def test_a_cancelled_job_waits_for_no_lock(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    locked = {"reason": "VM is locked (backup)", "times": 1000}
    site.endpoint.set_fault("PUT", r"/config$", **locked)
    process = site.begin("apply", "--yes")
    while process.poll() is None and len(site.writes()) < 3:
        time.sleep(0.01)
    out = leave(process)
    assert "VM is locked (backup); done before: clone" in out.splitlines()[-1]
    assert audited(site)[-1]["error"].endswith("VM is locked (backup)")


def leave_unanswered(site: Site, method: str, path: str, *arguments: str) -> str:
    """Leave a command that waits for the answer to such a request; return what it printed."""
    asked, over = threading.Event(), threading.Event()

    def hang() -> None:
        asked.set()
        over.wait(30)

    site.endpoint.set_fault(method, path, meanwhile=hang)
    process = site.begin(*arguments)
    assert asked.wait(30)
    out = leave(process)
    over.set()
    return out


def test_a_cancelled_job_waits_for_no_answer(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    out = leave_unanswered(site, "PUT", r"/config$", "apply", "--yes")
    said = "has not answered yet: what was asked may still happen, plan again"
    assert f"{said}; done before: clone" in out.splitlines()[-1]
    assert audited(site)[-1]["error"].endswith(said)


@pytest.mark.parametrize("command", ["plan", "drift"])
def test_a_cancelled_look_waits_for_no_answer(
    proxmox_endpoint: StartEndpoint, tmp_path: Path, command: str
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    assert leave_unanswered(site, "GET", r"/pending$", command) == ""


def test_what_was_begun_is_told_apart_from_what_was_not(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint({"latency": {"clone": 60}}), count=4)
    process = site.begin("apply", "--yes", PROXMOX_CLONES="1")  # k8s-3 waits for k8s-0
    while process.poll() is None and len(site.writes()) < 3:
        time.sleep(0.01)
    process.terminate()
    out, _err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    rows = {line.split()[0]: line for line in out.splitlines()[-4:]}
    assert sorted(rows) == ["k8s-0", "k8s-1", "k8s-2", "k8s-3"]
    waiting = {name for name, row in rows.items() if "UPID:" not in row}
    assert len(waiting) == 1
    assert waiting < {"k8s-0", "k8s-3"}
    assert len(site.writes()) == 3


def test_a_signal_shows_the_cursor_again(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint({"latency": {"clone": 60}}), count=1)
    environ = {**os.environ, **site.endpoint.environ, "TERM": "xterm"}
    environ.pop("CI", None)

    def end(process: "subprocess.Popen[bytes]") -> None:
        until_a_write(site, process)
        process.terminate()

    code, sent = on_terminal(site.command("apply", "--yes"), environ, end)
    assert code == 128 + signal.SIGTERM
    assert sent.rfind("\x1b[?25h") > sent.rfind("\x1b[?25l") > -1


ON_ITS_TERMINAL = """\
import os, sys
os.close(os.open(os.ttyname(2), os.O_RDWR))
os.execv(sys.executable, sys.argv[1:])
"""


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_terminal_that_hangs_up_leaves_its_steps_in_the_audit_log(
    proxmox_endpoint: StartEndpoint, tmp_path: Path, term: str
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint({"latency": {"clone": 60}}), count=1)
    ours, theirs = pty.openpty()
    environ = {**os.environ, **site.endpoint.environ, "TERM": term}
    environ.pop("CI", None)
    process = subprocess.Popen(
        [sys.executable, "-c", ON_ITS_TERMINAL, *site.command("apply", "--yes")],
        env=environ,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    until_a_write(site, process)
    os.close(ours)
    assert process.wait(60) == 128 + signal.SIGHUP
    (entry,) = audited(site)
    assert (entry["action"], entry["result"]) == ("clone", "failed")
    assert entry["task"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_was_ignored_stays_ignored(
    proxmox_endpoint: StartEndpoint, tmp_path: Path, number: signal.Signals
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint({"latency": {"clone": 60}}), count=1)
    ignoring = f"trap '' {number.name.removeprefix('SIG')}; exec \"$@\""  # as nohup and & do
    with subprocess.Popen(
        ["/bin/sh", "-c", ignoring, "sh", *site.command("apply", "--yes")],
        env={**os.environ, **site.endpoint.environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until_a_write(site, process)
        process.send_signal(number)
        process.terminate()  # what is ignored would have been heard first
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "nothing more is begun" not in err
