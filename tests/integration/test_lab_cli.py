"""`stackyard lab` as a user types it."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from lab_fixture import CACHE, ENTER, STACKYARD, USER, RunningLab, stackyard, why_no_machines

from stackyard.lab import cgroups, control, image, processes, requirements
from stackyard.lab.addresses import lab_id
from stackyard.lab.errors import LabError
from stackyard.lab.platform_file import EXAMPLE

HEEDLESS = "trap '' TERM; while :; do sleep 1; done"  # as an interactive shell


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A lab's folder that is cleaned up whatever the test does."""
    path = tmp_path / "lab"
    yield path
    control.down(path)


def say(command: str, folder: Path, *more: str) -> tuple[int, str, str]:
    """Run `stackyard lab COMMAND --dir …` and return its exit code, output and messages."""
    done = stackyard("lab", command, "--dir", str(folder), *more)
    return done.returncode, done.stdout, done.stderr


def test_a_lab_without_machines_answers_on_loopback(folder: Path) -> None:
    code, output, messages = say("up", folder, "--no-machines")
    assert code == 0, messages
    assert "https://127.0.0.1:" in output
    assert "simulated: --no-machines" in messages

    code, exports, _ = say("env", folder)
    environ = dict(line.removeprefix("export ").split("=", 1) for line in exports.splitlines())
    assert code == 0
    token = f"{environ['PROXMOX_USER']}!{environ['PROXMOX_TOKEN_ID']}"
    version = requests.get(
        f"{environ['PROXMOX_URL']}/api2/json/version",
        headers={"Authorization": f"PVEAPIToken={token}={environ['PROXMOX_TOKEN_SECRET']}"},
        verify=environ["PROXMOX_CA"],
        timeout=10,
    )
    assert version.ok
    vault = requests.Session()
    vault.verify = environ["VAULT_CACERT"]
    vault.trust_env = False
    vault.headers["X-Vault-Token"] = environ["VAULT_TOKEN"]
    with vault:
        secret = f"{environ['VAULT_ADDR']}/v1/kv/data/one"
        assert vault.post(secret, json={"data": {"a": "b"}}, timeout=10).ok
        assert vault.get(secret, timeout=10).json()["data"]["data"] == {"a": "b"}
    checksums = f"{environ['K3S_DOWNLOAD_URL']}/v1.33.5%2Bk3s1/sha256sum-amd64.txt"
    assert requests.get(checksums, timeout=10).text.endswith("  k3s\n")


def test_up_and_down_can_be_said_twice(folder: Path) -> None:
    assert say("up", folder, "--no-machines")[0] == 0
    first = control.find(folder)
    code, _, messages = say("up", folder, "--no-machines")
    assert code == 0
    assert "up already" in messages
    again = control.find(folder)
    assert again is not None
    assert first is not None
    assert again.process == first.process

    assert say("down", folder)[0] == 0
    assert not folder.exists()
    assert not first.process.alive
    code, _, messages = say("down", folder)
    assert code == 0
    assert "no lab was up" in messages


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_leaves_no_lab(folder: Path, tmp_path: Path, number: int) -> None:
    platform = tmp_path / "platform.yaml"
    os.mkfifo(platform)  # which the lab reads a second time, and waits there
    command = ("lab", "up", "--no-machines", "--dir", str(folder), "--platform", str(platform))
    with subprocess.Popen([STACKYARD, *command], stderr=subprocess.PIPE, text=True) as starting:
        platform.write_text(EXAMPLE.read_text())
        while (process := processes.load(folder / "daemon.pid")) is None:
            assert starting.poll() is None
            time.sleep(0.01)
        starting.send_signal(number)
        _, messages = starting.communicate(timeout=60)
    assert starting.returncode == 128 + number
    assert messages.splitlines()[-1] == "interrupted"
    assert not process.alive
    assert not folder.exists()


def test_exec_has_the_commands_exit_code_and_the_labs_variables(folder: Path) -> None:
    assert say("up", folder, "--no-machines")[0] == 0
    code, output, _ = say("exec", folder, "--", "sh", "-c", "echo $K3S_DOWNLOAD_URL; exit 7")
    assert code == 7
    assert output.endswith("/k3s\n")
    code, _, messages = say("exec", folder, "--", "no-such-command")
    assert code == 1
    assert "no-such-command: command not found" in messages
    code, output, _ = say("exec", folder, "--", "sh", "-c", "command -v stackyard kubectl bao")
    assert code == 0, "the lab's tools lie on PATH"


def test_what_is_done_to_the_labs_vms_leaves_nothing_in_a_site(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "site" / "vms").mkdir(parents=True)
    (tmp_path / "site" / "vms" / "a.yaml").write_text("name: a\ntarget_node: node01\n")
    assert say("up", folder, "--no-machines")[0] == 0
    apply = (str(STACKYARD), "apply", "--yes", "--site", str(tmp_path / "site"))
    code, _, messages = say("exec", folder, "--", *apply)
    assert code == 0, messages
    assert '"vm": "a"' in (folder / "audit.jsonl").read_text(encoding="utf-8")
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["vms"]
    assert say("down", folder)[0] == 0
    assert not folder.exists()


def test_git_takes_nothing_of_a_lab_in_a_repository(folder: Path, tmp_path: Path) -> None:
    assert say("up", folder, "--no-machines")[0] == 0
    git = ["git", "-C", str(tmp_path)]
    for command in (["init", "-q"], ["add", "--all"]):
        subprocess.run([*git, *command], check=True)
    listed = subprocess.run([*git, "ls-files"], capture_output=True, text=True, check=True)
    assert listed.stdout == ""


def test_a_shell_says_where_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert say("up", folder, "--no-machines")[0] == 0
    monkeypatch.setenv("SHELL", "/bin/true")
    code, _, messages = say("shell", folder)
    assert (code, messages) == (
        0,
        "in your own network, with the lab's variables; leave with: exit\n",
    )


def test_status_names_the_platforms_vms(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")  # which cuts nothing off
    assert say("up", folder, "--no-machines")[0] == 0
    code, output, _ = say("status", folder)
    assert code == 0
    assert output.splitlines()[-1].split() == ["110", "legacy", "node02", "stopped"]


@pytest.mark.parametrize("command", ["status", "env"])
def test_without_a_lab_the_command_says_how_to_get_one(folder: Path, command: str) -> None:
    code, _, messages = say(command, folder)
    assert code == 1
    assert "no lab is up" in messages
    assert "stackyard lab up" in messages


def test_a_mistake_in_the_platform_names_file_and_line(folder: Path, tmp_path: Path) -> None:
    platform = tmp_path / "platform.yaml"
    platform.write_text("nodes:\n  node01: {thread: 3}\n", encoding="utf-8")
    code, _, messages = say("up", folder, "--no-machines", "--platform", str(platform))
    assert code == 1
    assert "platform.yaml:2" in messages
    assert "Traceback" not in messages


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "home"
    precious.mkdir(mode=0o755)
    (precious / "letter").write_text("dear", encoding="utf-8")
    for command in ("up", "down"):
        more = ["--no-machines"] if command == "up" else []
        code, _, messages = say(command, precious, *more)
        assert code == 1
        assert "no lab's folder" in messages
    assert (precious / "letter").read_text(encoding="utf-8") == "dear"
    assert precious.stat().st_mode & 0o777 == 0o755


def test_a_cache_among_somebody_elses_files_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    (shared / "letter").touch()
    for wrong, why in (
        (shared, f"{shared} has letter and is no cache; choose another --cache"),
        (shared / "letter", "letter cannot be made a folder: File exists"),
    ):
        with pytest.raises(LabError, match=f"{why}$"):
            image.make_private(wrong)
    assert shared.stat().st_mode & 0o777 == 0o755
    for name in ("packages", "image-1", "image-2.unfinished"):
        (tmp_path / "cache" / name).mkdir(parents=True)
    (tmp_path / "cache" / ".gitignore.new").touch()  # of a lab up that was killed
    for _ in range(2):
        image.make_private(tmp_path / "cache")
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "cache" / ".gitignore").read_text(encoding="utf-8") == "*\n"


def test_a_lab_needs_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert "no lab is up" in say("status", file)[2]
    for wrong in (file, file / "below"):
        code, _, messages = say("up", wrong, "--no-machines")
        assert (code, "Traceback" in messages) == (1, False)
        assert f"{wrong} cannot be made a folder" in messages


def test_a_killed_lab_without_machines_leaves_nothing(folder: Path) -> None:
    assert say("up", folder, "--no-machines")[0] == 0
    found = control.find(folder)
    assert found is not None
    os.kill(found.process.pid, signal.SIGKILL)
    _until_gone(folder)
    assert say("status", folder)[0] == 1
    assert say("down", folder)[0] == 0
    assert not folder.exists()


@pytest.mark.parametrize("left", ["", "{", "7 "])
def test_what_a_power_cut_left_of_a_lab_is_no_lab(folder: Path, left: str) -> None:
    folder.mkdir()
    for name in ("settings.json", "ready.json", "environment.json", "daemon.pid"):
        (folder / name).write_text(left)
    assert control.find(folder) is None
    assert control.down(folder)
    assert not folder.exists()


def test_a_process_with_the_labs_id_after_a_reboot_is_left_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    (folder / "settings.json").write_text("{}")
    with subprocess.Popen(["/bin/sleep", "60"]) as innocent:
        processes.identify(innocent.pid).save(folder / "daemon.pid")
        boot = tmp_path / "boot_id"
        boot.write_text("5e1fb6b5-another-boot\n")
        monkeypatch.setattr(processes, "BOOT", boot)
        assert control.down(folder)
        assert innocent.poll() is None
        innocent.kill()


def test_no_root_means_simulated_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert requirements.why_simulated() == "only root can boot machines"


@pytest.mark.machines
@pytest.mark.parametrize("victim", ["init", "daemon"])
def test_a_killed_lab_leaves_no_process_mount_cgroup_or_file(
    lab: RunningLab, folder: Path, victim: str
) -> None:
    # The session's own lab stands beside it: two labs at once, each with the same addresses.
    if reason := why_no_machines():
        pytest.skip(reason)
    before = Path("/proc/self/mounts").read_text(encoding="utf-8")
    up = stackyard("lab", "up", "--dir", str(folder), "--cache", str(CACHE), timeout=600)
    assert up.returncode == 0, up.stderr
    found = control.find(folder)
    assert found is not None
    second = RunningLab(found)
    vm = second.create_machine(3100, "doomed", "192.168.1.40")
    assert second.task("POST", f"{vm}/status/start") == "OK"
    second.wait_for_ssh("192.168.1.40")
    hierarchy = cgroups.hierarchy()
    assert hierarchy is not None
    group = hierarchy / lab_id(folder)
    assert (group / "vm-3100").is_dir()
    shell = subprocess.Popen(
        [*ENTER, f"--target={found.process.pid}", "--net", "--", "sh", "-c", HEEDLESS],
        start_new_session=True,
    )
    sockets = _kept_connections(second, "192.168.1.40")

    os.kill(_worker(found.process.pid) if victim == "daemon" else found.process.pid, signal.SIGKILL)
    _until_gone(folder)
    assert stackyard("lab", "down", "--dir", str(folder)).returncode == 0

    assert shell.wait(10) == -signal.SIGHUP
    assert not sockets.exists()
    assert not folder.exists()
    assert not group.exists()
    assert Path("/proc/self/mounts").read_text(encoding="utf-8") == before
    assert lab.machines() is not None, "the other lab is as it was"


def _kept_connections(lab: RunningLab, address: str) -> Path:
    """Let Ansible open a connection that outlives it; return the folder of such connections."""
    hosts_are_new = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    options = ["-u", USER, f"--ssh-common-args={hosts_are_new}"]
    lab.run(["ansible", "all", "-i", f"{address},", "-m", "raw", "-a", "true", *options])
    sockets = Path(lab.environ["ANSIBLE_SSH_CONTROL_PATH_DIR"])
    assert len(list(sockets.iterdir())) == 1
    return sockets


def _worker(init: int) -> int:
    children = Path(f"/proc/{init}/task/{init}/children").read_text(encoding="utf-8").split()
    return int(children[0])


def _until_gone(folder: Path) -> None:
    """Wait until no process of a lab is left: each names the lab's folder in its command line."""
    deadline = time.monotonic() + 10
    while left := _processes_of(folder):
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.05)


def _processes_of(folder: Path) -> list[str]:
    found = []
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            argv = cmdline.read_text(encoding="utf-8", errors="replace").replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(folder) in argv:
            found.append(argv)
    return found
