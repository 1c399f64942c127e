"""The roles: their plays parse, HAProxy takes what they write, the collection holds no site.

What needs machines (install, second run, publish) is in test_roles_on_machines.py.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
HAPROXY = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

needs_haproxy = pytest.mark.skipif(
    HAPROXY is None or os.getuid() != 0, reason="haproxy is not installed, or this is not root"
)

HOSTS: dict[str, dict[str, Any]] = {
    "k8s-tools": {"ansible_host": "192.168.1.15", "k3s_api_frontend_port": 6443},
    "k8s-home": {"ansible_host": "192.168.1.16", "k3s_api_frontend_port": 6444},
    "k8s-ha1": {
        "ansible_host": "192.168.1.17",
        "k3s_api_frontend_port": 6445,
        "k3s_cluster_name": "ha",
    },
    "k8s-ha2": {
        "ansible_host": "192.168.1.18",
        "k3s_api_frontend_port": 6445,
        "k3s_cluster_name": "ha",
        "k3s_api_port": 7443,
    },
    "k8s-private": {"ansible_host": "192.168.1.19"},
    "k8s-stopped": {"ansible_host": "192.168.1.20", "k3s_api_frontend_port": 6446},
    "k8s-foreign": {"ansible_host": "192.168.1.21", "k3s_api_frontend_port": 6447},
}

# The play ends before its handlers: there is no haproxy on this machine to reload.
PLAY = """
- hosts: haproxy_servers
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: haproxy, tasks_from: preflight.yml}
    - ansible.builtin.include_role: {name: haproxy, tasks_from: configure.yml}
      vars: {haproxy_config_file: "{{ playbook_dir }}/haproxy.cfg"}
    - ansible.builtin.meta: end_play
"""


def run(*command: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=cwd,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0", **environ},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def render(folder: Path, hosts: dict[str, dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    """Run the role's preflight and configure on this machine, for an inventory of K3s hosts."""
    balancer = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
    }
    children = {
        "k3s": {"hosts": hosts},
        "state_stopped": {"hosts": {"k8s-stopped": {}}},
        "unmanaged": {"hosts": {"k8s-foreign": {}}},
        "haproxy_servers": {"hosts": {"haproxy": balancer}},
    }
    (folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"children": children}}))
    (folder / "play.yml").write_text(PLAY)
    return run(
        "ansible-playbook",
        "-i",
        "inventory.yml",
        "play.yml",
        cwd=folder,
        ANSIBLE_ROLES_PATH=str(ROOT / "roles"),
    )


def backends(config: str) -> dict[str, tuple[str, list[str]]]:
    """Return each frontend's bind and the servers behind it."""
    found: dict[str, tuple[str, list[str]]] = {}
    binds: dict[str, str] = {}
    section = ("", "")
    for line in config.splitlines():
        words = line.split()
        if line and not line[0].isspace():
            section = (words[0], words[-1])
        elif words[:1] == ["bind"]:
            binds[section[1]] = words[1]
        elif words[:1] == ["server"]:
            found.setdefault(section[1], (binds[section[1]], []))[1].append(words[2])
    return found


def test_the_plays_parse_with_the_shipped_inventory() -> None:
    done = run("ansible-playbook", "--syntax-check", "plays/site.yml", cwd=ROOT)

    assert done.returncode == 0, done.stderr
    assert "[ERROR]" not in done.stderr


@needs_haproxy
def test_each_cluster_gets_a_frontend_that_haproxy_accepts(tmp_path: Path) -> None:
    first = render(tmp_path, HOSTS)
    assert first.returncode == 0, first.stdout
    assert "changed=1" in first.stdout

    config = (tmp_path / "haproxy.cfg").read_text()
    assert backends(config) == {
        "k8s-tools": ("*:6443", ["192.168.1.15:6443"]),
        "k8s-home": ("*:6444", ["192.168.1.16:6443"]),
        "ha": ("*:6445", ["192.168.1.17:6443", "192.168.1.18:7443"]),
    }
    assert "bind 127.0.0.1:8404" in config
    assert "stats admin" not in config

    assert HAPROXY is not None
    checked = subprocess.run(
        [HAPROXY, "-c", "-f", str(tmp_path / "haproxy.cfg")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr

    second = render(tmp_path, HOSTS)
    assert "changed=0" in second.stdout


@needs_haproxy
@pytest.mark.parametrize("port", [6443, 8404], ids=["another cluster's port", "the statistics'"])
def test_two_clusters_on_one_port_are_refused(tmp_path: Path, port: int) -> None:
    clash = {**HOSTS, "k8s-home": {**HOSTS["k8s-home"], "k3s_api_frontend_port": port}}

    done = render(tmp_path, clash)

    assert done.returncode != 0
    assert "Give each cluster a k3s_api_frontend_port of its own" in done.stdout + done.stderr
    assert not (tmp_path / "haproxy.cfg").exists()


@needs_haproxy
def test_no_cluster_at_all_is_said_and_no_error(tmp_path: Path) -> None:
    done = render(tmp_path, {"k8s-private": HOSTS["k8s-private"]})

    assert done.returncode == 0, done.stdout
    assert "No cluster has a frontend" in done.stdout


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collection")
    done = run(
        "ansible-galaxy", "collection", "build", str(ROOT), "--output-path", str(folder), cwd=folder
    )
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.tar.gz")
    return path


def test_the_collection_holds_the_product_and_nothing_of_a_site(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        names = {entry.name for entry in archive if entry.isfile()}

    tops = {name.partition("/")[0] for name in names}
    assert tops == {
        "FILES.json", "MANIFEST.json", "README.md",
        "meta", "plays", "plugins", "roles", "stackyard",
    }  # fmt: skip
    assert not [name for name in names if name.startswith(("stackyard/lab/", "stackyard/cli/"))]
    assert {"roles/k3s/tasks/main.yml", "roles/haproxy/templates/haproxy.cfg.j2"} <= names
    assert {"plays/site.yml", "meta/runtime.yml"} <= names
    assert not [name for name in names if name.endswith((".pyc", ".pem", ".key"))]


def test_an_installed_collection_brings_its_roles(tarball: Path, tmp_path: Path) -> None:
    where = {"ANSIBLE_COLLECTIONS_PATH": str(tmp_path), "ANSIBLE_ROLES_PATH": str(tmp_path)}
    installed = run(
        "ansible-galaxy", "collection", "install", str(tarball), "--offline", "-p", str(tmp_path),
        cwd=tmp_path, **where,
    )  # fmt: skip
    assert installed.returncode == 0, installed.stderr

    listed = run("ansible-doc", "-t", "role", "--list", "--json", cwd=tmp_path, **where)
    assert {"fullstack.stackyard.k3s", "fullstack.stackyard.haproxy"} <= set(
        json.loads(listed.stdout)
    )
    play = tmp_path / "play.yml"
    play.write_text("- hosts: localhost\n  roles: [fullstack.stackyard.k3s]\n")
    parsed = run("ansible-playbook", "--syntax-check", "play.yml", cwd=tmp_path, **where)
    assert parsed.returncode == 0, parsed.stderr
