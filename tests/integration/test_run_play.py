"""A real ansible-playbook on this machine: events, results and logs, and no secret in any."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_venv import ansible_venv

from stackyard.run.controller import Controller
from stackyard.run.errors import PlayError
from stackyard.run.play import PlayEvent, PlayResult, play_hosts, run_play

SECRET = "correct-horse-battery-staple"

INVENTORY = """
all:
  hosts:
    one: {}
    two: {}
    gone: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}
  vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
"""
GOOD = """
- name: Good play
  hosts: one:two
  gather_facts: false
  tasks:
    - name: Say it
      ansible.builtin.debug: {msg: not for events}
    - name: Change it
      ansible.builtin.command: {cmd: "true"}
      notify: Follow up
    - name: Fall over and get up
      block:
        - name: Fail and be rescued
          ansible.builtin.fail: {msg: rescued}
      rescue:
        - name: Get up
          ansible.builtin.debug: {msg: up}
  handlers:
    - name: Follow up
      ansible.builtin.debug: {msg: followed}
"""
BAD = """
- name: Bad play
  hosts: all
  gather_facts: false
  tasks:
    - name: Fail on one
      ansible.builtin.fail: {msg: "the disk\\nis full"}
      when: inventory_hostname == 'one'
    - name: Reach
      ansible.builtin.ping: {}
"""
CUT = """
- name: All or nobody
  hosts: one:two
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - name: Fail on one
      ansible.builtin.fail: {msg: no}
      when: inventory_hostname == 'one'
    - name: Not reached
      ansible.builtin.debug: {msg: x}
"""
RESCUED = """
- name: All or nobody, but for a rescue
  hosts: one:two
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - name: Fall over and get up
      block:
        - name: Fail on one
          ansible.builtin.fail: {msg: no}
          when: inventory_hostname == 'one'
      rescue:
        - name: Get up
          ansible.builtin.debug: {msg: up}
"""
HIDDEN = """
- name: Play with a secret
  hosts: one
  gather_facts: false
  vars: {secret: "{{ lookup('ansible.builtin.env', 'MADE_UP_SECRET') }}"}
  tasks:
    - name: Use the secret
      ansible.builtin.command: {argv: ["true", "{{ secret }}"]}
      no_log: true
    - name: Fail and be rescued
      block:
        - name: Fail with a secret
          ansible.builtin.fail: {msg: "bad password {{ secret }}"}
          no_log: true
        - name: Not reached
          ansible.builtin.debug: {msg: x}
      rescue:
        - name: Go on
          ansible.builtin.debug: {msg: up}
    - name: Retry with a secret
      ansible.builtin.command: {argv: ["false", "{{ secret }}"]}
      no_log: true
      register: tried
      until: tried.rc == 0
      retries: 1
      delay: 0
      failed_when: false
    - name: Fail while templating
      ansible.builtin.debug: {msg: "{{ secret | from_json }}"}
      no_log: true
      ignore_errors: true
    - name: Loop over secrets
      ansible.builtin.fail: {msg: "bad password {{ item }}"}
      loop: ["{{ secret }}", other]
      no_log: true
"""
NESTED = """
- name: Play that runs another
  hosts: one
  gather_facts: false
  tasks:
    - name: See what it would be given
      ansible.builtin.command: {cmd: printenv}
      register: given
    - name: Tell
      ansible.builtin.debug: {var: given.stdout_lines}
"""
LATIN = """
- name: Play of a host that speaks Latin-1
  hosts: one
  gather_facts: false
  tasks:
    - name: Listen
      ansible.builtin.raw: "printf 'caf\\\\351'"
      register: said
    - name: Repeat
      ansible.builtin.fail: {msg: "it says {{ said.stdout }}"}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "plays").mkdir()
    for name, text in (("good", GOOD), ("bad", BAD), ("hidden", HIDDEN)):
        (tmp_path / f"plays/{name}.yml").write_text(text)
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    (tmp_path / "ansible.cfg").write_text("[defaults]\ninventory = hosts.yml\n")
    return tmp_path


def play(site: Path, name: str, *hosts: str, **more: str) -> tuple[PlayResult, list[PlayEvent]]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")}
    environ |= {"MADE_UP_SECRET": SECRET, "ANSIBLE_HOME": str(site / "home")} | more
    events: list[PlayEvent] = []
    controller = Controller(site, environ, site / "play.log")
    return run_play(controller, f"plays/{name}.yml", hosts, events.append), events


def test_a_play_that_works(site: Path) -> None:
    result, events = play(site, "good", "one")
    assert result.failure is None
    assert result.succeeded == ("one",)
    assert result.hosts["one"].changed == 1
    assert [(e.kind, e.task) for e in events if e.kind != "stats"] == [
        ("play", "Good play"),
        ("task", "Say it"),
        ("ok", "Say it"),
        ("task", "Change it"),
        ("changed", "Change it"),
        ("task", "Fail and be rescued"),
        ("failed", "Fail and be rescued"),
        ("task", "Get up"),
        ("ok", "Get up"),
        ("task", "Follow up"),
        ("ok", "Follow up"),
    ]
    assert "not for events" not in repr(events)


def test_hosts_that_a_fatal_error_cut_short_have_not_succeeded(site: Path) -> None:
    (site / "plays/cut.yml").write_text(CUT)
    result, _events = play(site, "cut")
    assert result.hosts["two"].succeeded  # as Ansible counts it
    assert result.succeeded == ()


def test_a_fatal_error_that_was_rescued_cuts_nobody_short(site: Path) -> None:
    (site / "plays/rescued.yml").write_text(RESCUED)
    result, _events = play(site, "rescued")
    assert result.failure is None
    assert result.succeeded == ("one", "two")


def test_failures_are_told_by_host_task_and_message(site: Path) -> None:
    result, _events = play(site, "bad")
    assert result.exit_code != 0
    assert result.succeeded == ("two",)
    (reason,) = (event.message for event in result.failures if event.host == "gone")
    assert result.failure == (
        "plays/bad.yml failed on one in 'Fail on one': the disk is full; could not reach gone in "
        f"'Reach': {reason} (see {site}/play.log)"
    )
    assert result.hosts["gone"].unreachable == 1
    other, _events = play(site, "bad", "gone", "two")
    assert other.failure is not None
    assert other.failure.startswith("plays/bad.yml could not reach gone in 'Reach': ")
    assert other.succeeded == ("two",)


def test_a_failure_in_bytes_that_are_no_utf8_can_be_written_down(site: Path) -> None:
    (site / "plays/latin.yml").write_text(LATIN)
    result, _events = play(site, "latin", "one")
    where = f"(see {site / 'play.log'})"
    assert result.failure == f"plays/latin.yml failed on one in 'Repeat': it says caf? {where}"


def test_the_end_of_a_long_message_is_told_for_it_says_why(site: Path) -> None:
    told = f"K3s did not become ready: {'Stopped k3s.service. ' * 90}level=fatal msg=no token"
    fail = {"name": "Say why", "ansible.builtin.fail": {"msg": told}}
    long = {"hosts": "one", "gather_facts": False, "tasks": [fail]}
    (site / "plays/long.yml").write_text(yaml.safe_dump([long]))
    failure = str(play(site, "long", "one")[0].failure)
    assert "'Say why': K3s did not become ready: Stopped" in failure
    assert "level=fatal msg=no token (see " in failure
    assert len(failure) < len(told)


def test_no_secret_leaves_by_events_log_or_argv(site: Path) -> None:
    result, events = play(site, "hidden")
    assert result.failure is not None
    assert "'Loop over secrets': the reason is hidden by no_log" in result.failure
    log = site / "play.log"
    assert "Loop over secrets" in log.read_text()
    assert SECRET not in log.read_text() + repr(events) + repr(result)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


@pytest.mark.parametrize("colour", ["", "true"])
def test_a_play_that_cannot_start_is_a_sentence(site: Path, colour: str) -> None:
    (site / "plays/broken.yml").write_text("- hosts: one\n  tsks: []\n")
    result, events = play(site, "broken", "one", ANSIBLE_FORCE_COLOR=colour)
    assert result.failure is not None
    assert "ended with exit code" in result.failure
    assert "tsks" in result.failure
    assert result.succeeded == ()
    assert events == []


def test_a_locale_with_which_ansible_does_not_start_is_told(site: Path) -> None:
    result, _events = play(site, "good", "one", LC_ALL="C")
    assert "exit code 1: Ansible requires the locale encoding to be UTF-8" in str(result.failure)


@pytest.mark.parametrize("config", [b"[defaults\n", b"[defaults]\n# caf\xe9\n"])
def test_an_ansible_cfg_that_cannot_be_read_is_a_sentence(site: Path, config: bytes) -> None:
    (site / "ansible.cfg").write_bytes(config)
    with pytest.raises(PlayError, match=r"ansible\.cfg cannot be read: ") as caught:
        play(site, "good", "one")
    assert "\n" not in str(caught.value)


def test_a_play_goes_on_where_its_log_finds_no_room(site: Path) -> None:
    (site / "play.log").symlink_to("/dev/full")
    result, _events = play(site, "good", "one", "two")
    assert result.failure is None
    assert result.succeeded == ("one", "two")
    assert result.unwritten == "No space left on device"


def test_an_ansible_that_is_killed_within_an_event_is_told(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = site / "ansible-playbook"
    killed.write_text(
        f"#!{sys.executable}\n"
        "import os, signal\n"
        "events = int(os.environ['STACKYARD_EVENTS_FD'])\n"
        """os.write(events, b'{"event": "task", "task": "Fill the memory"}\\n')\n"""
        """os.write(events, b'{"event": "failed", "host": "one", "msg": "')\n"""
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed.chmod(0o700)
    monkeypatch.setattr("stackyard.run.controller.Controller.program", str(killed))
    result, events = play(site, "good", "one")
    assert [event.task for event in events] == ["Fill the memory"]
    assert result.failure == f"plays/good.yml ended with exit code -9 (see {site / 'play.log'})"


def test_an_ansible_that_a_task_starts_writes_no_events_of_its_own(site: Path) -> None:
    (site / "plays/nested.yml").write_text(NESTED)
    result, _events = play(site, "nested", "one")
    assert result.succeeded == ("one",)
    given = (site / "play.log").read_text()
    assert "MADE_UP_SECRET=" in given  # it is the environment
    assert "STACKYARD_EVENTS_FD" not in given


def test_a_limit_is_a_value_and_no_option(site: Path) -> None:
    result, _events = play(site, "good", "--version", "two")
    assert "two" not in result.succeeded or result.failure is None
    assert not {"--version"} & result.hosts.keys()


def own_callback(folder: Path) -> None:
    """Write a callback that makes a file in the working folder."""
    (folder / "own").mkdir(parents=True)
    (folder / "own/mine.py").write_text(
        "from ansible.plugins.callback import CallbackBase\n"
        "DOCUMENTATION = 'name: mine\\ntype: notification\\nshort_description: mine'\n"
        "class CallbackModule(CallbackBase):\n"
        "    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, 'notification', 'mine'\n"
        "    CALLBACK_NEEDS_ENABLED = True\n"
        "    def v2_playbook_on_stats(self, stats):\n"
        "        open('mine', 'w').close()\n"
    )


def test_the_sites_own_callbacks_stay(site: Path) -> None:
    own_callback(site)
    with (site / "ansible.cfg").open("a") as config:
        config.write("callback_plugins = own:~nobody-at-all/theirs\n")
        config.write("callbacks_enabled = mine ; of ours\n")
        config.write("stdout_callback = minimal ; short\n")
    result, events = play(site, "good", "one")
    assert result.failure is None
    assert events
    assert (site / "mine").exists()


def test_the_callbacks_of_an_ansible_cfg_that_the_environment_names_stay(
    site: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("config")
    own_callback(folder)
    settings = f"inventory = {site}/hosts.yml\ncallback_plugins = own\ncallbacks_enabled = mine\n"
    (folder / "mine.cfg").write_text(f"[defaults]\n{settings}")

    result, events = play(site, "good", "one", ANSIBLE_CONFIG=str(folder / "mine.cfg"))

    assert result.failure is None
    assert events
    assert (site / "mine").exists()


def test_the_hosts_of_a_play_are_asked_from_ansible(site: Path) -> None:
    controller = Controller(site, os.environ)
    assert play_hosts(controller, "plays/good.yml") == ("one", "two")


def test_the_sites_settings_count_in_a_folder_that_all_may_write(site: Path) -> None:
    site.chmod(0o777)
    environ = {k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")}
    assert play_hosts(Controller(site, environ), "plays/good.yml") == ("one", "two")
    result, _events = play(site, "good", "one")
    assert result.succeeded == ("one",)


@pytest.mark.parametrize("release", ["2.18", "2.19"])
def test_a_broken_play_is_told_with_its_place_whatever_ansible_warns_of(
    site: Path, monkeypatch: pytest.MonkeyPatch, release: str
) -> None:
    ansible = ansible_venv(f"ansible-core=={release}.*") / "ansible-playbook"
    monkeypatch.setattr("stackyard.run.controller.Controller.program", str(ansible))
    (site / "ansible.cfg").write_text("[defaults]\ninventory = missing.yml,hosts.yml\n")
    (site / "plays/broken.yml").write_text("- hosts: all\n  tasks: [\n")
    (site / "plays/lost.yml").write_text("- import_playbook: missing.yml\n")
    place = rf"\({site}/plays/broken\.yml:3:1\)$"
    for environ in (os.environ, os.environ | {"ANSIBLE_FORCE_COLOR": "true"}):
        with pytest.raises(PlayError, match=rf"cannot be read: .*expected node content.*{place}"):
            play_hosts(Controller(site, environ), "plays/broken.yml")
        with pytest.raises(PlayError, match=rf"cannot be read: Unable.*{site}/plays/missing\.yml"):
            play_hosts(Controller(site, environ), "plays/lost.yml")


def test_the_callback_is_silent_without_a_reader(site: Path) -> None:
    from stackyard.run.controller import CALLBACKS

    environ = os.environ | {
        "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
        "ANSIBLE_CALLBACKS_ENABLED": "stackyard_events",
    }
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "plays/good.yml"],
        cwd=site,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert json.dumps("event") not in done.stdout
