"""AWX's own command, from a plain checkout, with ansible-core and nothing else."""

import json
import subprocess
from pathlib import Path

import pytest
from ansible_venv import ansible_venv, bare_environment, checkout

from stackyard.definitions.load import load_definitions
from stackyard.inventory import build_inventory
from stackyard.inventory.export import FORMATS

K3S = ["k8s-home", "k8s-observability", "k8s-sandbox", "k8s-tools"]
TEMPLATE = "{{ 6 * 7 }}"
OVERRIDE = "#jinja2:variable_start_string:'[%', variable_end_string:'%]'\n[% 6 * 7 %]"
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


def test_the_enabled_variable_switches_every_host(bare: Path, tmp_path: Path) -> None:
    project = checkout(tmp_path)
    for name, says in {
        "halted": "vm_state: stopped",
        "as-it-is": "",
        "gold": "template: true",
    }.items():
        text = f"name: {name}\ntarget_node: node01\nclone: null\n{says}\n"
        (project / "vms" / f"{name}.yaml").write_text(text)
    page = (project / "docs" / "awx.md").read_text()
    (project / "inventory" / "vms.yml").write_text(
        page.partition("```yaml\n")[2].partition("```")[0]
    )
    variable, value = (
        page.partition(f"| enabled {field} | `")[2].partition("`")[0]
        for field in ("variable", "value")
    )
    done = as_awx_does(bare, project)
    assert done.returncode == 0, done.stderr
    hosts = json.loads((project / "output.json").read_text())["_meta"]["hostvars"]
    # AWX compares so; a host without the variable keeps the switch that it had.
    switched = {name: str(hosts[name][variable]).lower() == value for name in hosts}
    assert {name for name, is_on in switched.items() if not is_on} == {"gold", "halted", "postgres"}


def test_host_keys_are_checked_though_awx_switches_that_off(bare: Path, project: Path) -> None:
    ssh = project.parent / "ssh"
    ssh.write_text('#!/bin/sh\nexec ssh -G "$@"\n')  # tells what it would do, and does nothing
    ssh.chmod(0o755)
    done = subprocess.run(
        [str(bare / "ansible"), "-i", "inventory/vms.yml", "postgres", "-m", "raw", "-a", "true"],
        cwd=project,
        env=bare_environment(**AWX, ANSIBLE_SSH_EXECUTABLE=str(ssh)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "stricthostkeychecking true" in done.stdout
    assert f"userknownhostsfile {project}/inventory/known_hosts" in done.stdout


def test_a_mistake_fails_the_update(bare: Path, tmp_path: Path) -> None:
    project = checkout(tmp_path)
    (project / "vms" / "broken.yaml").write_text("name: broken\ntarget_nod: node01\n")
    done = as_awx_does(bare, project)
    assert done.returncode != 0
    assert "unknown key 'target_nod', did you mean target_node?" in " ".join(done.stderr.split())
    assert not (project / "output.json").exists()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with texts that templates would make 42 of."""
    (tmp_path / "vms").mkdir()
    (tmp_path / "inventory").mkdir()
    definition = {
        "name": "a",
        "target_node": "n",
        "description": TEMPLATE,
        "variables": {"x": TEMPLATE, "deep": [{"in": TEMPLATE}], "own": OVERRIDE, "y": "plain"},
    }
    (tmp_path / "vms" / "a.yaml").write_text(json.dumps(definition))
    return tmp_path


def ansible(bare: Path, site: Path, command: str, *arguments: str) -> str:
    plugins = Path(__file__).parents[2] / "plugins" / "inventory"
    settings = bare_environment(ANSIBLE_INVENTORY_PLUGINS=str(plugins), HOME=str(site))
    settings |= {
        "ANSIBLE_INVENTORY_ENABLED": "vms,yaml",
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
    }
    done = subprocess.run(
        [str(bare / command), "-i", "inventory/vms.yml", *arguments],
        cwd=site,
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_looks_like_a_template_stays_data(bare: Path, site: Path) -> None:
    (site / "inventory" / "vms.yml").write_text("plugin: vms\n")
    text = "{{ x }},{{ stackyard_definition.description }},{{ deep[0]['in'] }},{{ own }},{{ y }}"
    said = ansible(bare, site, "ansible", "a", "-m", "ansible.builtin.debug", "-a", f"msg='{text}'")
    expected = f"{TEMPLATE},{TEMPLATE},{TEMPLATE},{OVERRIDE},plain"
    assert json.loads(said.partition("=>")[2])["msg"] == expected


def test_no_option_of_the_source_evaluates_a_template(bare: Path, site: Path) -> None:
    """Filters, composed variables and groups work on the text, and what they make is data too."""
    texts = ("x", "stackyard_definition.description", "deep[0]['in']", "own")
    source = {
        "plugin": "vms",
        "strict": True,
        "filters": [f"'6 * 7' in {text}" for text in texts],
        "compose": {f"composed{number}": f"{text} ~ '!'" for number, text in enumerate(texts)},
        "groups": {f"evaluated{number}": f"'42' in {text}" for number, text in enumerate(texts)},
        "keyed_groups": [{"key": f"'n' ~ ({text} | length)", "prefix": "long"} for text in texts],
    }
    (site / "inventory" / "vms.yml").write_text(json.dumps(source))
    listed = json.loads(ansible(bare, site, "ansible-inventory", "--list"))
    groups = {name for name in listed if name.startswith(("long", "evaluated"))}
    assert groups == {f"long_n{len(TEMPLATE)}", f"long_n{len(OVERRIDE)}"}
    variables = listed["_meta"]["hostvars"]["a"]
    composed = [variables[f"composed{number}"] for number in range(len(texts))]
    kept = [*[TEMPLATE] * 3, OVERRIDE]
    assert composed == [{"__ansible_unsafe": f"{text}!"} for text in kept]


def test_a_filter_is_as_true_as_what_it_makes(bare: Path, site: Path) -> None:
    (site / "vms" / "b.yaml").write_text("name: b\ntarget_node: n\ntags: [blue]\n")
    source = {
        "plugin": "vms",
        "strict": True,
        "filters": ["stackyard_definition.tags | default([]) | length", "'False'"],
    }
    (site / "inventory" / "vms.yml").write_text(json.dumps(source))
    listed = json.loads(ansible(bare, site, "ansible-inventory", "--list"))
    assert set(listed["_meta"]["hostvars"]) == {"b"}


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_an_export_is_data_too(form: str, bare: Path, site: Path) -> None:
    exported = FORMATS[form](build_inventory(load_definitions(site)))
    (site / "inventory" / "vms.yml").write_text(exported)
    text = "{{ x }},{{ stackyard_definition.description }},{{ deep[0]['in'] }},{{ own }},{{ y }}"
    said = ansible(bare, site, "ansible", "a", "-m", "ansible.builtin.debug", "-a", f"msg='{text}'")
    expected = f"{TEMPLATE},{TEMPLATE},{TEMPLATE},{OVERRIDE},plain"
    assert json.loads(said.partition("=>")[2])["msg"] == expected


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
