"""The Ansible action and lookup `kubeconfig`, by real plays from the checkout."""

import json
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from many_writers import cluster

from stackyard.kubeconfig import dump, parse

ROOT = Path(__file__).parents[2]
CALLBACKS = ROOT / "stackyard/run/callbacks"
TOKEN = "token of k8s-a"


CURIOUS = """
from ansible.plugins.callback import CallbackBase
class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "notification", "curious"
    def show(self, result, **more):
        self._display.display(f"CURIOUS {result.task_fields['args']} {result.result}")
    v2_runner_on_ok = v2_runner_on_failed = show
"""


def play(
    folder: Path, tasks: list[dict[str, Any]], *options: str, **environ: str
) -> tuple[int, str]:
    """Run tasks as verbose as can be; return the exit code and all that was said."""
    book = folder / "play.yml"
    book.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    program = Path(sysconfig.get_path("scripts"), "ansible-playbook")
    done = subprocess.run(
        [str(program), "-i", "localhost,", "-vvv", *options, str(book)],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_NOCOLOR": "1", **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_diff_and_check_mode_show_and_write_nothing(tmp_path: Path) -> None:
    store = f"file:{tmp_path}/all"
    publish = {
        "kubeconfig": {"content": dump(cluster("k8s-a")), "context": "k8s-a", "store": store}
    }
    code, said = play(tmp_path, [publish], "--check", "--diff")
    assert (code, "changed=1" in said) == (0, True), said
    assert "+  - name: k8s-a" in said or "+- name: k8s-a" in said
    assert "(masked 1)" in said
    assert TOKEN not in said
    assert not (tmp_path / "all").exists()


def test_a_callback_that_shows_everything_has_no_secret_to_show(tmp_path: Path) -> None:
    (tmp_path / "curious.py").write_text(CURIOUS)
    content = dump(cluster("k8s-a"))
    good = {"content": "{{ content }}", "context": "k8s-a", "store": f"file:{tmp_path}/all"}
    wrong = {
        "all cannot be read: Not a directory": {**good, "store": f"file:{tmp_path}/curious.py/all"},
        "missing required arguments: context": {"content": "{{ content }}"},
        "got: gone": {**good, "state": "gone"},
        "contents. Supported parameters": {"contents": "{{ content }}", "context": "k8s-a"},
        "content is not a text": {**good, "content": {"token": "{{ content }}"}},
        "does not support async": good,
    }
    tasks: list[dict[str, Any]] = [{"kubeconfig": good}]
    tasks += [{"kubeconfig": arguments, "ignore_errors": True} for arguments in wrong.values()]
    tasks[-1]["async"] = 10
    (tmp_path / "vars.json").write_text(json.dumps({"content": content}))
    given = ("-e", f"@{tmp_path}/vars.json")
    code, said = play(tmp_path, tasks, *given, ANSIBLE_CALLBACK_PLUGINS=f"{tmp_path}:{CALLBACKS}")
    assert code == 0, said
    assert said.count("CURIOUS") == len(tasks), said
    for sentence in ("'context': 'k8s-a'", *wrong):
        assert sentence in said, (sentence, said)
    assert TOKEN not in said


def test_a_task_that_is_tried_again_still_has_its_content(tmp_path: Path) -> None:
    again = {"retries": 1, "delay": 0, "until": "done is changed", "register": "done"}
    store = f"file:{tmp_path}/all"
    publish = {"content": dump(cluster("k8s-a")), "context": "k8s-a", "store": store}
    tasks: list[dict[str, Any]] = [{"kubeconfig": publish}, {"kubeconfig": publish, **again}]
    code, said = play(tmp_path, tasks)
    assert (code, "RETRYING" in said, "missing" in said) == (2, True, False), said


def test_what_is_published_can_be_looked_up(tmp_path: Path) -> None:
    store = f"file:{tmp_path}/all"
    tasks = [
        {"kubeconfig": {"content": dump(cluster(name)), "context": name, "store": store}}
        for name in ("k8s-a", "k8s-b", "k8s-a")
    ]
    text = f"lookup('kubeconfig', 'k8s-b', store='{store}')"
    there = [f"({text} | from_yaml).clusters | length == 1",
             f"({text} | from_yaml)['current-context'] == 'k8s-b'"]  # fmt: skip
    unknown = {"debug": {"msg": f"{{{{ lookup('kubeconfig', 'k8s-c', store='{store}') }}}}"}}
    code, said = play(tmp_path, [*tasks, {"assert": {"that": there}, "no_log": True}, unknown])
    assert "changed=2" in said, said
    assert "there is no context k8s-c: there is k8s-a, k8s-b" in said
    assert code == 2
    assert TOKEN not in said
    names = [entry["name"] for entry in parse((tmp_path / "all").read_text())["contexts"]]
    assert names == ["k8s-a", "k8s-b"]
