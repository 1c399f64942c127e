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
TOKEN = "token of k8s-a"


def play(folder: Path, tasks: list[dict[str, Any]], *options: str) -> tuple[int, str]:
    """Run tasks as verbose as can be; return the exit code and all that was said."""
    book = folder / "play.yml"
    book.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    program = Path(sysconfig.get_path("scripts"), "ansible-playbook")
    done = subprocess.run(
        [str(program), "-i", "localhost,", "-vvv", *options, str(book)],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_NOCOLOR": "1"},
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
