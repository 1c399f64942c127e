"""AWX's own command, from a plain checkout, with ansible-core and nothing else."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_venv import ansible_venv, bare_environment, checkout

K3S = ["k8s-home", "k8s-observability", "k8s-sandbox", "k8s-tools"]
TEMPLATE = "{{ lookup('ansible.builtin.env', 'HOME') }}"
# What AWX sets, of that which could change what an inventory is.
AWX = {
    "ANSIBLE_HOST_KEY_CHECKING": "False",
    "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
    "ANSIBLE_INVENTORY_EXPORT": "True",
    "ANSIBLE_HOST_PATTERN_MISMATCH": "error",
    "ANSIBLE_COLLECTIONS_PATHS": "/runner/requirements_collections",
}


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(tmp_path_factory.mktemp("project"))


@pytest.fixture(params=["2.18", "2.19"])
def bare(request: pytest.FixtureRequest) -> Path:
    return ansible_venv(f"ansible-core=={request.param}.*")


def as_awx_does(bare: Path, project: Path) -> subprocess.CompletedProcess[str]:
    source = project / "inventory" / "vms.yml"
    output = project / "output.json"
    return subprocess.run(
        [
            *(str(bare / "ansible-inventory"), "--list", "--export"),
            *("-i", str(source), "--output", str(output)),
            *("--playbook-dir", str(source.parent)),
        ],
        cwd=project,
        env=bare_environment(**AWX),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_project_is_an_inventory_source(bare: Path, project: Path) -> None:
    assert not [found for found in bare.parent.rglob("stackyard*") if found.is_dir()]
    done = as_awx_does(bare, project)
    assert done.returncode == 0, done.stderr
    assert "[WARNING]" not in done.stderr
    data = json.loads((project / "output.json").read_text())
    assert data["k3s"]["hosts"] == K3S
    assert data["cluster_home"]["children"] == ["cluster_home_control_plane"]
    assert data["cluster_home"]["vars"] == {
        "cluster_name": "home",
        "cluster_members": ["k8s-home"],
        "cluster_endpoint": "192.168.1.16",
    }
    variables = data["_meta"]["hostvars"]["postgres"]
    assert variables["ansible_host"] == "192.168.1.100"
    # AWX compares this with the source's `enabled_value`, so it must be a plain text.
    assert variables["stackyard_definition"]["vm_state"] == "stopped"


def test_a_mistake_fails_the_update(bare: Path, tmp_path: Path) -> None:
    project = checkout(tmp_path)
    (project / "vms" / "broken.yaml").write_text("name: broken\ntarget_nod: node01\n")
    done = as_awx_does(bare, project)
    assert done.returncode != 0
    assert "unknown key 'target_nod', did you mean target_node?" in " ".join(done.stderr.split())
    assert not (project / "output.json").exists()


def test_what_looks_like_a_template_stays_data(bare: Path, tmp_path: Path) -> None:
    (tmp_path / "vms").mkdir()
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "vms.yml").write_text("plugin: vms\n")
    text = f'name: a\ntarget_node: n\nvariables: {{x: "{TEMPLATE}", y: plain}}\n'
    (tmp_path / "vms" / "a.yaml").write_text(text)
    plugins = Path(__file__).parents[2] / "plugins" / "inventory"
    settings = bare_environment(ANSIBLE_INVENTORY_PLUGINS=str(plugins))
    settings["ANSIBLE_INVENTORY_ENABLED"] = "vms"
    done = subprocess.run(
        [
            *(str(bare / "ansible"), "a", "-i", "inventory/vms.yml"),
            *("-m", "ansible.builtin.debug", "-a", "msg={{ x }},{{ y }}"),
        ],
        cwd=tmp_path,
        env=settings | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: Any = json.loads(done.stdout.partition("=>")[2])
    assert said["msg"] == f"{TEMPLATE},plain"


def test_live_mode_says_which_packages_it_needs(bare: Path, tmp_path: Path) -> None:
    project = checkout(tmp_path)
    (project / "inventory" / "vms.yml").write_text("plugin: vms\nverify: proxmox\n")
    done = as_awx_does(bare, project)
    assert done.returncode != 0
    sentence = (
        "verify: proxmox needs the Python package urllib3: add it to the execution environment"
    )
    assert sentence in " ".join(done.stderr.split())


def test_ansible_runner_reads_it(project: Path, tmp_path: Path) -> None:
    bare = ansible_venv("ansible-runner==2.4.*", "ansible-core")
    script = (
        "import json, sys, ansible_runner\n"
        "project, private = sys.argv[1:]\n"
        "found, mistakes = ansible_runner.get_inventory(\n"
        "    'list', [project + '/inventory/vms.yml'], response_format='json',\n"
        "    private_data_dir=private, host_cwd=project, quiet=True)\n"
        "assert not mistakes, mistakes\n"
        "print(json.dumps(found['k3s']['hosts']))\n"
    )
    done = subprocess.run(
        [str(bare / "python"), "-c", script, str(project), str(tmp_path)],
        cwd=project,
        env=bare_environment(**AWX) | {"PATH": f"{bare}:/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == K3S
