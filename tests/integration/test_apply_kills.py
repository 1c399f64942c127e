"""SIGKILL at any point, and two runs at once: no VM twice, none half made, a clear end."""

import json
import signal
import time
from pathlib import Path

import pytest
from apply_site import NAMES, Site, assert_whole, make_site
from proxmox_lab import StartEndpoint

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
    assert "interrupted; apply again to finish" in out
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
    code, _out, err = interrupted(site, 2)
    assert code == 130
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err
    assert "clone" in [row.get("lock") for row in site.vms()]
