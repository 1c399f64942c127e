"""`stackyard run` on a commit of a real repository, against the lab's Proxmox endpoint.

The machines are simulated: one small ssh server stands for all of them, and plays run here.
"""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from proxmox_lab import ProxmoxEndpoint, StartEndpoint
from ssh_server import SshServer, new_key
from terminal import on_terminal

from stackyard.lab.machine import Simulated

KEY_FILE = "/etc/ssh/ssh_host_ed25519_key.pub"
PLAY = """
- name: Play {name}
  hosts: {hosts}
  gather_facts: false
  tasks:
    - name: Note who was here
      ansible.builtin.lineinfile:
        path: "{{{{ playbook_dir }}}}/../done-{name}-{{{{ inventory_hostname }}}}"
        line: "{name} {{{{ inventory_hostname }}}}"
        create: true
        mode: "0600"
    - name: Break on demand
      ansible.builtin.fail: {{msg: broken on demand}}
      when: ('broken-' ~ inventory_hostname) is in lookup('env', 'BROKEN')
"""
CONFIG = f"""
[defaults]
inventory = inventory/vms.yml
inventory_plugins = {Path(__file__).parents[2] / "plugins/inventory"}
[inventory]
enable_plugins = vms
unparsed_is_failed = True
"""


class Guests(Simulated):
    """Machines whose agent knows the ssh server's key."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = f"{key} root@somewhere\n".encode()

    async def read_file(self, vmid: int, path: str) -> bytes | None:
        if path == KEY_FILE and self.running(vmid):
            return self._key
        return await super().read_file(vmid, path)


@dataclass
class Stage:
    """A site in a repository, its Proxmox, and the ssh server of all its machines."""

    site: Path
    endpoint: ProxmoxEndpoint
    server: SshServer
    own_key: Path

    def define(self, name: str, **values: Any) -> None:
        document = {
            "name": name,
            "target_node": "node03",
            "memory": 1024,
            "clone": "ubuntu24-template",
            "agent": 1,
            "vm_state": "running",
            "ciuser": "ops",
            "ipconfig0": f"ip=192.168.1.{100 + len(list((self.site / 'vms').iterdir()))}/24",
            "variables": {
                "ansible_host": "127.0.0.1",
                "ansible_port": self.server.port,
                "ansible_connection": "local",
                "ansible_python_interpreter": sys.executable,
            },
            **values,
        }
        (self.site / "vms" / f"{name}.yaml").write_text(yaml.safe_dump(document, sort_keys=False))

    def commit(self, message: str) -> None:
        self.git("commit", "-q", "--allow-empty", "-m", message)

    def git(self, *arguments: str) -> str:
        settings = ("-c", "user.name=T", "-c", "user.email=t@example.invalid")
        command = ["git", *settings, "-c", "commit.gpgsign=false", *arguments]
        done = subprocess.run(command, cwd=self.site, check=True, capture_output=True, text=True)
        return done.stdout

    def run(self, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        with self.started(*arguments, **environ) as process:
            out, err = process.communicate(timeout=240)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def started(self, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
        own = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "STACKYARD_"))}
        return subprocess.Popen(
            [sys.executable, "-m", "stackyard.cli.main", *arguments, "--site", str(self.site)],
            env=own
            | self.endpoint.environ
            | {"ANSIBLE_PRIVATE_KEY_FILE": str(self.own_key), "BROKEN": ""}
            | environ,
            process_group=0,  # of its own, and of its play: a test may signal both at once
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def tags(self) -> dict[str, set[str]]:
        """The tags of each of the cluster's VMs, by name."""
        rows = self.endpoint.call("GET", "/nodes/node03/qemu")
        return {row["name"]: set(str(row.get("tags", "")).split(";")) for row in rows}

    def done(self) -> list[str]:
        """Return each play and host that met, the first ones first."""
        met = sorted(self.site.glob("done-*"), key=lambda path: path.stat().st_mtime_ns)
        return [path.read_text().strip() for path in met]

    def journal(self) -> list[dict[str, Any]]:
        lines = (self.site / ".stackyard/journal.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def stage(tmp_path: Path, proxmox_endpoint: StartEndpoint) -> Iterator[Stage]:
    server = SshServer(new_key(tmp_path / "host"), new_key(tmp_path / "own"))
    endpoint = proxmox_endpoint(machines=Guests(str(server.key)))
    site = tmp_path / "site"
    for folder in ("vms", "inventory", "plays"):
        (site / folder).mkdir(parents=True)
    (site / "ansible.cfg").write_text(CONFIG)
    (site / "inventory/vms.yml").write_text("plugin: vms\n")
    for name, hosts in (("k3s", "k3s"), ("haproxy", "haproxy_servers")):
        (site / f"plays/{name}.yml").write_text(PLAY.format(name=name, hosts=hosts))
    staged = Stage(site, endpoint, server, tmp_path / "own")
    staged.git("init", "-q", "-b", "main")
    for name in ("haproxy", "k8s-a", "k8s-b"):
        staged.define(name)
    yield staged
    server.stop()


def test_a_commit_without_a_tag_does_nothing(stage: Stage) -> None:
    stage.commit("docs: say more\n\n$(touch pwned) `touch pwned`")
    result = stage.run("run", "--commit", "HEAD")
    assert result.returncode == 0, result.stderr
    assert "has no tag [ansible NAME]: nothing to do" in result.stdout
    assert stage.endpoint.requests() == []
    assert not (stage.site / "pwned").exists()


def test_what_is_nearly_a_tag_does_nothing_and_is_told(stage: Stage) -> None:
    stage.commit("feat: a shop [Ansible: k8s-a]")
    result = stage.run("run", "--commit", "HEAD")
    assert result.returncode == 0, result.stderr
    assert "nothing to do" in result.stdout
    assert "has '[Ansible: k8s-a]', which is no tag: one is written [ansible NAME]" in result.stderr
    assert stage.endpoint.requests() == []


def test_a_hostile_tag_is_refused_before_anything_happens(stage: Stage) -> None:
    stage.commit("feat: x [ansible k8s-a] [ansible ; touch pwned]")
    result = stage.run("run", "--commit", "HEAD")
    assert result.returncode == 1
    assert result.stderr.startswith("error: the commit message's tag")
    assert "Traceback" not in result.stderr
    assert stage.endpoint.requests() == []


def test_a_vm_is_created_configured_and_untagged_and_then_all_is_quiet(stage: Stage) -> None:
    stage.commit("feat: add load balancer [ansible haproxy]")
    first = stage.run("run", "--commit", "HEAD")
    assert first.returncode == 0, first.stderr
    assert stage.done() == ["haproxy haproxy"]

    stage.commit("feat(proxmox): add k8s-a VM [ansible k8s-a]")
    result = stage.run("run", "--commit", "HEAD")
    assert result.returncode == 0, result.stderr
    assert "created" in result.stdout
    assert stage.done() == ["haproxy haproxy", "k3s k8s-a"]
    tags = stage.tags()
    assert tags["k8s-a"] == {"stackyard"}
    assert tags["haproxy"] == {"stackyard"}
    assert "k8s-b" not in tags
    known = (stage.site / "inventory/known_hosts").read_text()
    assert f"[k8s-a]:{stage.server.port}" in known
    assert str(stage.server.key) in known

    stage.endpoint.forget_requests()
    again = stage.run("run", "--commit", "HEAD")
    assert again.returncode == 0, again.stderr
    assert {request["method"] for request in stage.endpoint.requests()} == {"GET"}
    assert again.stdout.count("changed=0") == 2
    assert stage.tags() == tags
    steps = [line["step"] for line in stage.journal()]
    assert steps[-5:] == ["apply", "ready", "plays/k3s.yml", "ready", "plays/haproxy.yml"]
    assert {line["result"] for line in stage.journal()} == {"done"}


def test_a_play_that_fails_keeps_what_was_reached_and_names_it(stage: Stage) -> None:
    stage.commit("feat: two clusters [ansible k8s-a k8s-b]")
    failed = stage.run("run", "--commit", "HEAD", BROKEN="broken-k8s-b")
    assert failed.returncode == 1
    error = failed.stderr.splitlines()[-1]
    assert error.startswith(
        "error: plays/k3s.yml failed on k8s-b in 'Break on demand': broken on demand (see "
    )
    assert "created k8s-a; created k8s-b; plays/k3s.yml succeeded on k8s-a" in error
    assert "not configured: k8s-b; run again with: stackyard run --commit " in error
    assert "stackyard-unconfigured" in stage.tags()["k8s-b"]
    assert stage.tags()["k8s-a"] == {"stackyard"}
    assert stage.journal()[-1]["step"] == "failed"
    assert stage.journal()[-1]["result"] == error.removeprefix("error: ")

    # Another commit finishes what this one left, by the VM's own tag.
    stage.commit("feat: the first again [ansible k8s-a]")
    later = stage.run("run", "--commit", "HEAD")
    assert later.returncode == 0, later.stderr
    assert "k3s k8s-b" in stage.done()
    assert stage.tags()["k8s-b"] == {"stackyard"}


def test_load_balancers_learn_of_a_control_plane_that_a_later_run_finishes(stage: Stage) -> None:
    groups = "kubeadm_control_plane:kubeadm_workers"
    (stage.site / "plays/kubeadm.yml").write_text(PLAY.format(name="kubeadm", hosts=groups))
    for name in ("k8s-x-cp1", "k8s-x-w1"):
        stage.define(name)
    stage.commit("feat: a load balancer [ansible haproxy]")
    assert stage.run("run", "--commit", "HEAD").returncode == 0
    (stage.site / "done-haproxy-haproxy").unlink()
    stage.commit("feat: a control plane [ansible k8s-x-cp1]")
    failed = stage.run("run", "--commit", "HEAD", BROKEN="broken-k8s-x-cp1")
    assert failed.returncode == 1

    stage.commit("feat: a worker, which no load balancer has to know [ansible k8s-x-w1]")
    assert stage.run("run", "--commit", "HEAD", BROKEN="broken-haproxy").returncode == 1
    assert "kubeadm k8s-x-cp1" in stage.done()
    later = stage.run("run", "--commit", "HEAD")  # the failed one leaves it to this one
    assert later.returncode == 0, later.stderr
    assert stage.tags()["k8s-x-cp1"] == {"stackyard"}
    assert stage.done()[-1] == "haproxy haproxy"
    again = stage.run("run", "--commit", "HEAD")
    assert "plays/haproxy.yml" not in again.stdout + again.stderr


def test_load_balancers_whose_own_play_failed_learn_of_it_in_a_later_run(stage: Stage) -> None:
    groups = "kubeadm_control_plane:kubeadm_workers"
    (stage.site / "plays/kubeadm.yml").write_text(PLAY.format(name="kubeadm", hosts=groups))
    for name in ("k8s-x-cp1", "k8s-x-w1"):
        stage.define(name)
    stage.commit("feat: a control plane [ansible haproxy k8s-x-cp1]")
    failed = stage.run("run", "--commit", "HEAD", BROKEN="broken-haproxy")
    assert failed.returncode == 1
    assert "plays/kubeadm.yml succeeded on k8s-x-cp1" in failed.stderr
    (stage.site / "done-haproxy-haproxy").unlink()

    stage.commit("feat: a worker, which no load balancer has to know [ansible k8s-x-w1]")
    later = stage.run("run", "--commit", "HEAD")
    assert later.returncode == 0, later.stderr
    assert stage.done()[-1] == "haproxy haproxy"
    assert stage.tags()["k8s-x-cp1"] == {"stackyard"}


def test_a_leftover_that_still_fails_is_a_note_and_stops_nobody(stage: Stage) -> None:
    stage.commit("feat: two clusters [ansible k8s-a k8s-b]")
    assert stage.run("run", "--commit", "HEAD", BROKEN="broken-k8s-b").returncode == 1
    stage.commit("feat: the first again [ansible k8s-a]")
    later = stage.run("run", "--commit", "HEAD", BROKEN="broken-k8s-b")
    assert later.returncode == 0, later.stderr
    assert "still to be configured: plays/k3s.yml failed on k8s-b" in later.stderr
    assert "did not run on haproxy, which is not running" in later.stderr
    assert "stackyard-unconfigured" in stage.tags()["k8s-b"]

    # Where the run fails later on, it is no less a note.
    stage.commit("feat: a load balancer too [ansible k8s-a haproxy]")
    failed = stage.run("run", "--commit", "HEAD", BROKEN="broken-k8s-b broken-haproxy")
    assert failed.returncode == 1
    note, error = failed.stderr.splitlines()[-2:]
    assert note.startswith("note: still to be configured: plays/k3s.yml failed on k8s-b")
    assert error.startswith("error: plays/haproxy.yml failed on haproxy")


def test_without_a_journal_nothing_is_begun(stage: Stage) -> None:
    stage.commit("feat: a cluster [ansible k8s-a]")
    (stage.site / ".stackyard").mkdir()
    (stage.site / ".stackyard/journal.jsonl").mkdir()
    result = stage.run("run", "--commit", "HEAD")
    assert result.returncode == 1
    place = stage.site / ".stackyard/journal.jsonl"
    said = f"error: {place} cannot be written (Is a directory): a run needs its journal\n"
    assert result.stderr == said
    assert {request["method"] for request in stage.endpoint.requests()} <= {"GET"}


@pytest.mark.parametrize("broken", ["", "broken-k8s-a"])
def test_what_was_reached_is_told_though_the_journal_is_full(stage: Stage, broken: str) -> None:
    stage.commit("feat: a cluster [ansible k8s-a]")
    (stage.site / ".stackyard").mkdir()
    (stage.site / ".stackyard/journal.jsonl").symlink_to("/dev/full")
    result = stage.run("run", "--commit", "HEAD", BROKEN=broken)
    assert result.returncode == 1
    error = result.stderr.splitlines()[-1]
    assert error.startswith("error: ")
    assert "journal.jsonl cannot be written (No space left on device)" in error
    assert stage.done() == ["k3s k8s-a"]
    if broken:
        assert "plays/k3s.yml failed on k8s-a in 'Break on demand': broken on demand" in error
        assert "created k8s-a; ready: k8s-a; not configured: k8s-a; run again with" in error
    else:
        assert "changed=" in result.stdout
        assert stage.tags()["k8s-a"] == {"stackyard"}


def test_a_play_goes_on_though_nobody_listens(stage: Stage) -> None:
    (stage.site / "plays/other.yml").write_text(PLAY.format(name="other", hosts="k8s-a"))
    stage.commit("feat: others, too [ansible other]")
    with stage.started("run", "--commit", "HEAD") as process:
        assert process.stderr is not None
        while not process.stderr.readline().startswith("plays/other.yml: "):
            assert process.poll() is None
        process.stderr.close()
        assert process.wait(timeout=240) == 0
    assert stage.done() == ["other k8s-a"]
    assert stage.journal()[-1]["result"] == "done"


def test_a_line_of_the_journal_that_was_cut_short_spoils_no_other(stage: Stage) -> None:
    stage.commit("feat: a cluster [ansible k8s-a]")
    (stage.site / ".stackyard").mkdir()
    journal = stage.site / ".stackyard/journal.jsonl"
    journal.write_text('{"time": "2026-')
    assert stage.run("run", "--commit", "HEAD").returncode == 0
    torn, *whole = journal.read_text().splitlines()
    assert torn == '{"time": "2026-'
    assert [json.loads(line)["step"] for line in whole[:2]] == ["apply", "ready"]


def test_a_log_that_cannot_be_made_is_told_with_what_was_reached(stage: Stage) -> None:
    stage.commit("feat: a cluster [ansible k8s-a]")
    (stage.site / ".stackyard").mkdir()
    (stage.site / ".stackyard/logs").write_text("in the way")
    result = stage.run("run", "--commit", "HEAD")
    assert result.returncode == 1
    error = result.stderr.splitlines()[-1]
    assert "logs cannot be made for the log of plays/k3s.yml (File exists)" in error
    assert "created k8s-a; ready: k8s-a; not configured: k8s-a" in error


LONG = """
    - name: Wait in a process whose id is in a file
      ansible.builtin.command:
        argv:
          - sh
          - -c
          - echo $$ > {sleeper}.new; mv {sleeper}.new {sleeper}; exec sleep 300
      failed_when: false
    - name: Show that the play went on
      ansible.builtin.copy: {{dest: "{sleeper}.after", content: "", mode: "0600"}}
"""


def begin_a_long_play(stage: Stage) -> "tuple[subprocess.Popen[str], int]":
    """Begin a run, and return it and the id of the process that its play waits in by now."""
    sleeper = stage.site / "sleeper"
    play = stage.site / "plays/k3s.yml"
    play.write_text(play.read_text().rstrip() + LONG.format(sleeper=sleeper))
    stage.commit("feat: a cluster [ansible k8s-a]")
    process = stage.started("run", "--commit", "HEAD", ANSIBLE_LOCAL_TEMP=f"{stage.site}/temp")
    until(lambda: sleeper.exists() or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    return process, int(sleeper.read_text())


def until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def has_ended(pid: int) -> bool:
    """Tell whether a process is no more; whoever inherited it may not have asked yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


@pytest.mark.parametrize(
    ("number", "to_all"),
    [
        (signal.SIGINT, False),
        (signal.SIGTERM, False),
        (signal.SIGTERM, True),  # `timeout` ends its whole group
        (signal.SIGHUP, True),  # as a terminal that closes does
    ],
)
def test_a_signal_in_a_play_ends_it_and_tells_what_was_reached(
    stage: Stage, number: int, to_all: bool
) -> None:
    process, sleeper = begin_a_long_play(stage)
    with process:
        (os.killpg if to_all else os.kill)(process.pid, number)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number
    assert "interrupted; created k8s-a; ready: k8s-a; not configured: k8s-a; run again" in said
    assert said.splitlines()[-1] == "interrupted"
    assert "Traceback" not in said
    last = stage.journal()[-1]
    assert (last["step"], last["result"]) == ("interrupted", said.splitlines()[-2])
    assert list((stage.site / "temp").iterdir()) == []
    until(lambda: has_ended(sleeper))


def test_a_signal_while_vms_are_made_begins_no_step_more(stage: Stage) -> None:
    stage.commit("feat: a cluster [ansible k8s-a]")
    begun: list[subprocess.Popen[str]] = []

    def leave() -> None:
        begun[0].send_signal(signal.SIGTERM)
        begun[0].wait(60)  # the answer, with which the next step would begin, comes after that

    stage.endpoint.set_fault("GET", "/tasks/.*qmclone.*/status$", meanwhile=leave)
    begun.append(stage.started("run", "--commit", "HEAD"))
    said = begun[0].communicate(timeout=60)[1]
    assert begun[0].returncode == 128 + signal.SIGTERM
    assert "interrupted; not configured: k8s-a; run again" in said
    assert stage.journal()[-1]["step"] == "interrupted"
    (entry,) = map(json.loads, (stage.site / ".stackyard" / "audit.jsonl").read_text().splitlines())
    assert (entry["vm"], entry["action"]) == ("k8s-a", "clone")
    assert entry["task"]
    writes = [r["path"] for r in stage.endpoint.requests() if r["method"] != "GET"]
    assert [path.rpartition("/")[2] for path in writes] == ["clone"]


@pytest.mark.parametrize("command", [("ready", "k8s-a"), ("run", "--commit", "HEAD")])
def test_a_host_that_is_silent_is_left_at_once(stage: Stage, command: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections, and says nothing
        variables = {"ansible_host": "127.0.0.1", "ansible_port": silent.getsockname()[1]}
        stage.define("k8s-a", agent=0, variables=variables)
        assert stage.run("apply", "--yes", "--limit", "k8s-a").returncode == 0
        stage.commit("feat: a cluster [ansible k8s-a]")
        process = stage.started(*command)
        silent.settimeout(60)
        with silent.accept()[0]:
            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGTERM
    assert time.monotonic() - begun < 8  # ssh itself would be waited for longer
    assert said.splitlines()[-1] == "interrupted"
    assert "Traceback" not in said


def test_a_play_does_not_outlive_a_run_that_was_killed_by_more_than_a_task(stage: Stage) -> None:
    process, sleeper = begin_a_long_play(stage)
    with process:
        ansible = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
        process.kill()
    os.kill(sleeper, signal.SIGKILL)
    until(lambda: has_ended(ansible))
    assert not (stage.site / "sleeper.after").exists()


def test_a_vm_that_never_answers_is_named_and_the_rest_is_kept(stage: Stage) -> None:
    variables = {"ansible_host": "127.0.0.1", "ansible_port": 1}
    stage.define("k8s-b", variables=variables)
    stage.commit("feat: two clusters [ansible k8s-a] [ansible k8s-b]")
    result = stage.run("run", "--commit", "HEAD", "--timeout", "2")
    assert result.returncode == 1
    error = result.stderr.splitlines()[-1]
    assert "k8s-b is not ready: 127.0.0.1: not ready after" in error
    assert "Connection refused" in error
    assert "created k8s-a; created k8s-b; ready: k8s-a; not configured: k8s-a, k8s-b" in error
    assert stage.done() == []


def test_a_proxmox_that_refuses_is_told_and_nothing_is_lost(stage: Stage) -> None:
    stage.commit("feat: a cluster [ansible k8s-a]")
    refused = stage.run("run", "--commit", "HEAD", PROXMOX_TOKEN_SECRET="wrong")
    assert refused.returncode == 1
    assert "401" in refused.stderr.splitlines()[-1]
    last = refused.stderr.splitlines()[-1]
    assert "; not configured: k8s-a; run again with" in last
    assert last.endswith(f" --site {stage.site}")  # it is not where the run was started
    assert "Traceback" not in refused.stderr


def test_a_vault_that_does_not_answer_has_its_exit_code(stage: Stage) -> None:
    stage.define("k8s-a", cipassword={"vault": "kv/machines#password"})
    stage.commit("feat: a cluster [ansible k8s-a]")
    environ = {"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": "unused"}
    result = stage.run("run", "--commit", "HEAD", **environ)
    assert result.returncode == 4
    error = result.stderr.splitlines()[-1]
    assert "no answer, is it running?; not configured: k8s-a; run again with" in error


def test_a_play_that_leaves_the_vm_out_is_an_error(stage: Stage) -> None:
    (stage.site / "plays/k3s.yml").write_text(PLAY.format(name="k3s", hosts="k3s:!k8s-a"))
    stage.commit("feat: two clusters [ansible k8s-a k8s-b]")
    result = stage.run("run", "--commit", "HEAD")
    assert result.returncode == 1
    assert "plays/k3s.yml left out k8s-a" in result.stderr.splitlines()[-1]
    assert "stackyard-unconfigured" in stage.tags()["k8s-a"]
    assert stage.tags()["k8s-b"] == {"stackyard"}


def test_a_plays_name_runs_it_on_all_its_hosts(stage: Stage) -> None:
    stage.commit("feat: everything [ansible k3s]")
    result = stage.run("run", "--commit", "HEAD")
    assert result.returncode == 0, result.stderr
    assert sorted(stage.done()) == ["k3s k8s-a", "k3s k8s-b"]
    assert "did not run on haproxy, which is not running" in result.stderr


def test_a_vm_with_a_play_of_its_own_name_is_configured_by_that(stage: Stage) -> None:
    stage.define("haproxy-own")
    (stage.site / "plays/haproxy-own.yml").write_text(PLAY.format(name="own", hosts="haproxy-own"))
    stage.commit("feat: a load balancer of another kind [ansible haproxy-own]")
    result = stage.run("run", "--commit", "HEAD")
    assert result.returncode == 0, result.stderr
    assert stage.done() == ["own haproxy-own"]
    assert stage.tags()["haproxy-own"] == {"stackyard"}


def test_a_talos_vm_runs_its_play_though_it_has_no_ssh(stage: Stage) -> None:
    stage.define("talos-x-cp1", agent=0)
    (stage.site / "plays/talos.yml").write_text(PLAY.format(name="talos", hosts="talos"))
    stage.commit("feat: Talos [ansible talos-x-cp1]")
    result = stage.run("run", "--commit", "HEAD")
    assert result.returncode == 0, result.stderr
    assert stage.done()[0] == "talos talos-x-cp1"
    assert stage.tags()["talos-x-cp1"] == {"stackyard"}


def test_a_host_of_a_named_play_that_no_play_runs_on_is_told(stage: Stage) -> None:
    stage.define("pihole", managed=False)
    (stage.site / "plays/dns.yml").write_text(PLAY.format(name="dns", hosts="k8s-a:pihole"))
    stage.commit("feat: names [ansible dns]")
    result = stage.run("run", "--commit", "HEAD")
    assert result.returncode == 0, result.stderr
    assert stage.done() == ["dns k8s-a"]
    assert "plays/dns.yml did not run on pihole: it is not managed" in result.stderr


def test_a_plays_name_runs_it_on_hosts_that_are_no_vms_too(stage: Stage) -> None:
    local = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
    }
    (stage.site / "other.yml").write_text(yaml.safe_dump({"all": {"hosts": {"nas": local}}}))
    config = CONFIG.replace("vms.yml", "vms.yml, other.yml").replace("= vms", "= vms, yaml")
    (stage.site / "ansible.cfg").write_text(config)
    for name, hosts in (("backup", "k8s-a:nas"), ("dns", "localhost"), ("log", "127.0.0.1")):
        (stage.site / f"plays/{name}.yml").write_text(PLAY.format(name=name, hosts=hosts))
    stage.commit("feat: back up, and tell the others [ansible backup] [ansible dns] [ansible log]")
    result = stage.run("run", "--commit", "HEAD")
    assert result.returncode == 0, result.stderr
    assert sorted(stage.done()) == ["backup k8s-a", "backup nas", "dns localhost", "log 127.0.0.1"]
    assert not {"nas", "localhost"} & stage.tags().keys()


def test_ready_shows_each_vm_and_fails_if_one_is_not(stage: Stage) -> None:
    applied = stage.run("apply", "--yes")
    assert applied.returncode == 0, applied.stderr
    result = stage.run("ready")
    assert result.returncode == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows == [
        ["VM", "address", "ready"],
        *([name, "127.0.0.1", "yes"] for name in ("haproxy", "k8s-a", "k8s-b")),
    ]
    stage.server.answer = "status: error\n"
    bad = stage.run("ready", "k8s-a", "--timeout", "1")
    assert bad.returncode == 1
    assert "cloud-init ended with an error" in bad.stdout
    assert "haproxy" not in bad.stdout
    unknown = stage.run("ready", "k8s-aa")
    assert unknown.returncode == 1
    assert unknown.stderr == "error: there is no VM 'k8s-aa': did you mean k8s-a?\n"


@pytest.mark.parametrize("port", ["{{ port }}", 65536, None])
def test_a_port_that_is_none_is_told_and_the_others_are_waited_for(
    stage: Stage, port: object
) -> None:
    stage.define("k8s-b", variables={"ansible_host": "127.0.0.1", "ansible_port": port})
    assert stage.run("apply", "--yes", "--limit", "k8s-*").returncode == 0
    result = stage.run("ready", "k8s-a", "k8s-b")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "error: 1 of 2 VMs not ready"
    rows = result.stdout.splitlines()[1:]
    assert rows[0].split() == ["k8s-a", "127.0.0.1", "yes"]
    assert rows[1].endswith(f"its ansible_port is {port!r}: give a number from 1 to 65535")


def test_who_is_waited_for_is_told_while_it_lasts(stage: Stage) -> None:
    stage.define("k8s-b", variables={"ansible_host": "127.0.0.1", "ansible_port": 1})
    assert stage.run("apply", "--yes", "--limit", "k8s-*").returncode == 0
    waited = stage.run("ready", "k8s-a", "k8s-b", "--timeout", "1")
    assert waited.stderr.splitlines()[0].endswith("s] waiting for k8s-a, k8s-b")
    environ = {**os.environ, **stage.endpoint.environ, "TERM": "xterm"}
    environ |= {"ANSIBLE_PRIVATE_KEY_FILE": str(stage.own_key)}
    environ.pop("CI", None)
    command = [sys.executable, "-m", "stackyard.cli.main", "ready", "--site", str(stage.site)]
    code, sent = on_terminal([*command, "k8s-a", "k8s-b", "--timeout", "3"], environ)
    assert code == 1
    assert "waiting for k8s-b (no ssh yet: Connection refused)" in sent
    assert sent.rfind("\x1b[?25h") > sent.rfind("\x1b[?25l") > -1


def test_no_secret_and_no_wide_mode_is_left_behind(stage: Stage) -> None:
    stage.commit("feat: a cluster [ansible k8s-a]")
    result = stage.run("run", "--commit", "HEAD")
    assert result.returncode == 0, result.stderr
    secrets = [stage.endpoint.token_secret.encode(), stage.own_key.read_bytes().splitlines()[1]]
    said = [result.stdout.encode(), result.stderr.encode()]
    private = [path for path in (stage.site / ".stackyard").rglob("*") if path.is_file()]
    for content in (*said, *(path.read_bytes() for path in private)):
        assert not any(secret in content for secret in secrets)
    logs = [path for path in private if path.suffix in (".log", ".jsonl")]
    assert len(logs) == 3  # the journal, the audit log, and what the play said
    assert {stat.S_IMODE(path.stat().st_mode) for path in logs} == {0o600}
    assert stat.S_IMODE((stage.site / ".stackyard").stat().st_mode) == 0o700
    assert ".stackyard" not in stage.git("status", "--porcelain")
