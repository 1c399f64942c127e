"""The roles: their plays parse, the collection holds no site.

What needs machines (install, configure, second run, publish) is in test_roles_on_machines.py.
"""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from stackyard.kubeconfig.text import read_yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


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


def test_the_plays_parse_with_the_shipped_inventory() -> None:
    done = run("ansible-playbook", "--syntax-check", "plays/site.yml", cwd=ROOT)

    assert done.returncode == 0, done.stderr
    assert "[ERROR]" not in done.stderr


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
        "docs", "meta", "plays", "plugins", "roles", "stackyard",
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


KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "default", "cluster": {"server": "https://127.0.0.1:6443"}}],
    "users": [{"name": "default", "user": {"token": "of-the-tests"}}],
    "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
    "current-context": "default",
}
ENCRYPTED_TOKEN = """
- hosts: localhost
  gather_facts: false
  vars:
    k3s_settings: {node-name: k8s-tools, https-listen-port: 6443}
    k3s_config:
      %s
  tasks:
    - ansible.builtin.template: {src: %s, dest: %s}
"""


def test_a_token_of_ansible_vault_is_written_in_clear_for_k3s(tmp_path: Path) -> None:
    password, written = tmp_path / "password", tmp_path / "config.yaml"
    password.write_text("of the tests\n")
    vault = {"ANSIBLE_VAULT_PASSWORD_FILE": str(password)}
    token = run(
        "ansible-vault", "encrypt_string", "--name", "token", "hunter2", cwd=tmp_path, **vault
    )
    assert token.returncode == 0, token.stderr
    template = ROOT / "roles/k3s/templates/config.yaml.j2"
    indented = token.stdout.strip().replace("\n", "\n      ")
    (tmp_path / "play.yml").write_text(ENCRYPTED_TOKEN % (indented, template, written))

    done = run("ansible-playbook", "-c", "local", "play.yml", cwd=tmp_path, **vault)

    assert done.returncode == 0, done.stdout + done.stderr
    assert yaml.safe_load(written.read_text()) == {
        "https-listen-port": 6443, "node-name": "k8s-tools", "token": "hunter2"
    }  # fmt: skip


def test_a_token_that_looks_like_a_number_stays_the_text_that_it_is(tmp_path: Path) -> None:
    template, written = ROOT / "roles/k3s/templates/config.yaml.j2", tmp_path / "config.yaml"
    odd = ["y", "a=1e3", "n", "089", "0X1F", ".5e3", "1_000", "::", "# no", "'", '"', "null", "ü"]
    texts = {"token": "0O17", "agent-token": "12E-3", "node-label": odd}
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"k3s_settings": {"https-listen-port": 6443, "none": 0}, "k3s_config": texts},
        "tasks": [{"ansible.builtin.template": {"src": f"{template}", "dest": f"{written}"}}],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))

    done = run("ansible-playbook", "-c", "local", "play.yml", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    # As Go reads YAML, kubectl and K3s alike.
    assert read_yaml(written.read_text()) == {"https-listen-port": 6443, "none": 0, **texts}
    for text in ("0O17", "12E-3", "y", "089", "0X1F", ".5e3", "null", "ü"):
        assert f'"{text}"' in written.read_text()


def test_an_environment_beyond_ascii_reaches_k3s_as_it_is(tmp_path: Path) -> None:
    template, written = ROOT / "roles/k3s/templates/k3s.service.env.j2", tmp_path / "env"
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"k3s_environment": {"K3S_TOKEN": 'geheimwört "\\'}},
        "tasks": [{"ansible.builtin.template": {"src": f"{template}", "dest": f"{written}"}}],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))

    done = run("ansible-playbook", "-c", "local", "play.yml", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    lines = written.read_text(encoding="utf-8").splitlines()
    assert lines[1:] == ['K3S_TOKEN="geheimwört \\"\\\\"']


@pytest.mark.parametrize(
    "setting", [{"https-listen-port": 7443}, {"node-name": "x"}, {"write-kubeconfig": "/root/x"}]
)
def test_a_setting_that_would_publish_another_cluster_is_refused(
    tmp_path: Path, setting: dict[str, object]
) -> None:
    role = ROOT / "roles/k3s"
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [f"{role}/defaults/main.yml", f"{role}/vars/main.yml"],
        "tasks": [{"ansible.builtin.import_tasks": f"{role}/tasks/preflight.yml"}],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))

    given = json.dumps({"k3s_config": setting})
    done = run("ansible-playbook", "-c", "local", "play.yml", "-e", given, cwd=tmp_path)

    assert done.returncode != 0
    assert "k3s_config must leave https-listen-port to k3s_api_port" in done.stdout + done.stderr


def test_statuses_given_on_the_command_line_are_those_that_haproxy_expects(
    tmp_path: Path,
) -> None:
    role, written = ROOT / "roles/haproxy", tmp_path / "haproxy.cfg"
    template = {"src": f"{role}/templates/haproxy.cfg.j2", "dest": f"{written}"}
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [f"{role}/defaults/main.yml"],
        "vars": {"haproxy_fingerprint": "any"},
        "tasks": [{"ansible.builtin.template": template}],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    server = {"name": "k8s-a", "address": "192.168.1.20", "port": 6443}
    frontends = {"haproxy_frontends": [{"name": "a", "port": 6443, "servers": [server]}]}

    done = run(
        "ansible-playbook", "-c", "local", "play.yml", "-e", json.dumps(frontends),
        "-e", "haproxy_check_statuses=200,401", cwd=tmp_path,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "http-check expect status 200,401\n" in written.read_text()


@pytest.fixture
def balanced(tmp_path: Path) -> Path:
    """An inventory of clusters, two of which have a load balancer's address or name as theirs."""
    hosts: dict[str, dict[str, object]] = {
        "k8s-a": {"ansible_host": "192.168.1.20", "k3s_api_frontend_port": 6443},
        "k8s-b": {"ansible_host": "192.168.1.21", "k3s_api_frontend_port": 6444},
        "k8s-c": {"ansible_host": "192.168.1.22", "k3s_api_frontend_port": 6445},
        "k8s-d": {"ansible_host": "192.168.1.23", "k3s_api_frontend_port": 6446},
    }
    hosts["k8s-b"]["k3s_address"] = "10.0.0.21"
    hosts["k8s-c"]["k3s_address"] = "192.168.1.4"
    hosts["k8s-d"]["k3s_address"] = "haproxy-dhcp"
    for variables in hosts.values():
        variables["ansible_python_interpreter"] = sys.executable
    balancers = {"haproxy": {"ansible_host": "192.168.1.4"}, "haproxy-dhcp": {}}
    groups = {"k3s": {"hosts": hosts}, "haproxy_servers": {"hosts": balancers}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(groups))
    return tmp_path


def test_a_kubeconfig_through_a_load_balancer_leads_to_its_own_cluster(balanced: Path) -> None:
    of_k3s, store = balanced / "k3s.yaml", balanced / "all.yaml"
    of_k3s.write_text(yaml.safe_dump(KUBECONFIG))
    publish = {"ansible.builtin.include_role": {"name": "k3s", "tasks_from": "publish.yml"}}
    play = {"hosts": "k3s", "gather_facts": False, "tasks": [publish]}
    (balanced / "play.yml").write_text(yaml.safe_dump([play]))

    given = json.dumps({"k3s_kubeconfig": str(of_k3s), "k3s_kubeconfig_store": f"file:{store}"})
    done = run(
        "ansible-playbook", "-c", "local", "-i", "hosts.yml", "play.yml", "-e", given,
        cwd=balanced, ANSIBLE_CONFIG=f"{ROOT}/ansible.cfg",
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    clusters = yaml.safe_load(store.read_text())["clusters"]
    assert {one["name"]: one["cluster"]["server"] for one in clusters} == {
        "k8s-a": "https://192.168.1.20:6443",
        "k8s-b": "https://10.0.0.21:6443",
        "k8s-c": "https://192.168.1.4:6445",
        "k8s-d": "https://haproxy-dhcp:6446",
    }


def test_a_load_balancer_reaches_an_api_where_its_cluster_has_it(balanced: Path) -> None:
    template = ROOT / "roles/haproxy/templates/frontends.yml.j2"
    written = balanced / "frontends.yml"
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [{"ansible.builtin.template": {"src": f"{template}", "dest": f"{written}"}}],
    }
    (balanced / "play.yml").write_text(yaml.safe_dump([play]))

    done = run("ansible-playbook", "-c", "local", "-i", "hosts.yml", "play.yml", cwd=balanced)

    assert done.returncode == 0, done.stdout + done.stderr
    frontends = yaml.safe_load(written.read_text())
    addresses = {one["name"]: one["servers"][0]["address"] for one in frontends}
    assert addresses == {
        "k8s-a": "192.168.1.20", "k8s-b": "10.0.0.21", "k8s-c": "192.168.1.22",
        "k8s-d": "192.168.1.23",
    }  # fmt: skip
