"""What the roles' specifications promise is what their defaults say, and house rules hold."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
PLAYS = sorted((ROOT / "plays").glob("*.yml"))

SECRETS = ("token", "kubeconfig_file", "service.env", "config.yaml.j2")

READ_ONLY = re.compile(
    r"timeout {{ first_boot_timeout }} cloud-init status|journalctl|stat|systemctl show|getent"
    r"|{{ k3s_binary }} (--version|kubectl get) ?"
)

roles = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}


def options(role: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = load(role / "meta/argument_specs.yml")["argument_specs"][
        "main"
    ]["options"]
    return found


def tasks(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Walk tasks and those in their blocks."""
    for entry in entries:
        yield entry
        for part in ("block", "rescue", "always"):
            yield from tasks(entry.get(part, []))


def all_tasks(role: Path) -> list[dict[str, Any]]:
    files = [*role.glob("tasks/*.yml"), *role.glob("handlers/*.yml")]
    return [task for file in files for task in tasks(load(file))]


@roles
def test_the_specification_has_the_defaults_names_and_values(role: Path) -> None:
    promised = {name: option["default"] for name, option in options(role).items()}

    assert promised == load(role / "defaults/main.yml")


@roles
def test_each_variable_carries_the_roles_name(role: Path) -> None:
    names = [*options(role), *load(role / "vars/main.yml")]
    names += [task["register"] for task in all_tasks(role) if "register" in task]

    assert [name for name in names if not name.startswith(f"{role.name}_")] == []


@roles
def test_each_option_says_what_it_is(role: Path) -> None:
    assert [name for name, option in options(role).items() if not option.get("description")] == []


@roles
def test_no_task_hides_a_failure_or_invents_a_change(role: Path) -> None:
    for task in all_tasks(role):
        assert "ignore_errors" not in task, task["name"]
        assert task.get("changed_when") is not True, task["name"]


@roles
def test_tasks_that_touch_secrets_print_nothing(role: Path) -> None:
    for task in all_tasks(role):
        action = {key: value for key, value in task.items() if key.startswith("ansible.builtin.")}
        if re.search("|".join(map(re.escape, SECRETS)), str(action)):
            assert task.get("no_log") is True, task["name"]


@roles
def test_only_read_only_commands_run_in_check_mode(role: Path) -> None:
    for task in all_tasks(role):
        if task.get("check_mode") is False and "ansible.builtin.command" in task:
            words = " ".join(task["ansible.builtin.command"]["argv"])
            assert READ_ONLY.match(words), task["name"]


def test_no_question_to_an_api_that_never_answers_waits_for_ever() -> None:
    asked = [
        task["ansible.builtin.command"]["argv"]
        for role in ROLES
        for task in all_tasks(role)
        if "kubectl" in task.get("ansible.builtin.command", {}).get("argv", ())
    ]

    assert asked
    assert [argv for argv in asked if "--request-timeout=10s" not in argv] == []


def test_packages_wait_for_the_upgrades_of_a_new_machine() -> None:
    asked = [
        task["ansible.builtin.apt"]
        for role in ROLES
        for task in all_tasks(role)
        if "ansible.builtin.apt" in task
    ]

    assert asked
    assert [apt for apt in asked if apt.get("lock_timeout", 60) < 300] == []


def test_secret_files_have_mode_0600() -> None:
    written = {
        task["ansible.builtin.template"]["src"]: task["ansible.builtin.template"]["mode"]
        for task in all_tasks(ROOT / "roles/k3s")
        if "ansible.builtin.template" in task
    }

    assert written["config.yaml.j2"] == written["k3s.service.env.j2"] == "0600"


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.name)
def test_plays_leave_stopped_and_unmanaged_machines_alone(play: Path) -> None:
    for entry in load(play):
        if "hosts" in entry:
            assert entry["hosts"].endswith(":!state_stopped:!unmanaged")
