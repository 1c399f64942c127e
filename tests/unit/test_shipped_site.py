"""The example site in this repository: valid, and read alike by Ansible and Nornir."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nornir import InitNornir
from nornir.core.filter import F

from stackyard.cli.demo import CLUSTER, LOAD_BALANCERS, to_run, without_context
from stackyard.definitions.model import Reference
from stackyard.fleet import load_fleet

ROOT = Path(__file__).parents[2]
K3S = {"k8s-tools", "k8s-home", "k8s-observability", "k8s-sandbox"}


def ansible_inventory(
    *arguments: str, cwd: Path = ROOT, **environ: str
) -> subprocess.CompletedProcess[str]:
    command = Path(sysconfig.get_path("scripts"), "ansible-inventory")
    return subprocess.run(
        [str(command), *arguments],
        cwd=cwd,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def listed(*arguments: str, known_hosts: str = "") -> Any:
    done = ansible_inventory("--list", *arguments, STACKYARD_KNOWN_HOSTS=known_hosts)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return json.loads(done.stdout, object_hook=without_mark)


def without_mark(mapping: dict[str, Any]) -> Any:
    """Ansible marks strings from plugins: they are data, never templates."""
    return mapping.get("__ansible_unsafe", mapping)


def test_it_is_valid_and_has_what_the_demo_shows() -> None:
    fleet = load_fleet(ROOT)
    assert set(fleet.site.nodes) == {"node01", "node02", "node03"}
    by_name = {vm.name: vm for vm in fleet.definitions}
    assert set(by_name) >= K3S | {"haproxy"}
    assert [vm.name for vm in fleet.definitions if vm.vm_state == "stopped"] == ["postgres"]
    assert [vm.name for vm in fleet.definitions if not vm.managed] == ["pihole"]
    assert {by_name[name].target_node for name in K3S} == {"node01", "node02", "node03"}


def test_the_readme_exports_what_its_definitions_take_from_the_environment() -> None:
    vms = load_fleet(ROOT).definitions
    referred = {vm.sshkeys.env for vm in vms if isinstance(vm.sshkeys, Reference)}
    chapter = (ROOT / "README.md").read_text().partition("## On your Proxmox")[2]
    exported = set(re.findall(r"[ $]([A-Z_0-9]+)=", chapter.partition("stackyard plan\n")[0]))
    assert referred
    assert referred <= exported


def test_a_load_balancer_without_an_address_keeps_no_cluster_from_its_certificate(
    tmp_path: Path,
) -> None:
    (tmp_path / "more.yml").write_text("haproxy_servers: {hosts: {haproxy-dhcp: {}}}\n")
    sources = ("-i", "inventory", "-i", str(tmp_path / "more.yml"))
    ask = ("-m", "ansible.builtin.debug", "-a", "msg={{ k3s_tls_sans | to_json }}")
    done = subprocess.run(
        [str(Path(sysconfig.get_path("scripts"), "ansible")), *sources, "k8s-tools", *ask],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert '["192.168.1.4"]' in done.stdout


def test_validate_from_the_checkout_without_any_setting() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stackyard.cli.main", "validate"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "7 definitions, 3 nodes: no mistakes\n")


def test_the_demo_asks_for_a_context_of_each_cluster() -> None:
    definitions = {vm.name: vm for vm in load_fleet(ROOT).definitions}
    clusters = ["k8s-home", "k8s-observability", "k8s-sandbox", "k8s-tools"]
    assert without_context(definitions, ()) == clusters
    assert without_context(definitions, {*clusters[1:], "other"}) == ["k8s-home"]
    assert without_context(definitions, clusters) == []


def test_the_demo_asks_nothing_that_is_stopped() -> None:
    definitions = {vm.name: vm for vm in load_fleet(ROOT).definitions}
    assert list(to_run(definitions, LOAD_BALANCERS)) == ["haproxy"]
    for name in ("k8s-home", "haproxy"):
        definitions[name] = replace(definitions[name], vm_state="stopped")
    assert list(to_run(definitions, CLUSTER)) == ["k8s-observability", "k8s-sandbox", "k8s-tools"]
    assert not to_run(definitions, LOAD_BALANCERS)


def test_the_schema_knows_the_nodes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stackyard.cli.main", "schema", "--site"]
    made = [
        json.loads(subprocess.run([*command, str(site)], capture_output=True, check=True).stdout)
        for site in (ROOT, tmp_path)
    ]
    shipped, without_nodes = (schema["properties"]["target_node"] for schema in made)
    assert shipped["enum"] == ["node01", "node02", "node03"]
    assert "enum" not in without_nodes


def test_ansible_reads_it(tmp_path: Path) -> None:
    known_hosts = str(tmp_path / "known_hosts")
    data = listed("-i", "inventory", known_hosts=known_hosts)
    assert set(data["k3s"]["hosts"]) == K3S
    assert data["haproxy_servers"]["hosts"] == ["haproxy"]
    assert data["cluster_tools"]["hosts"] == ["k8s-tools"]
    variables = data["_meta"]["hostvars"]["k8s-tools"]
    assert variables["ansible_host"] == "192.168.1.15"
    assert f"UserKnownHostsFile={known_hosts} " in variables["ansible_ssh_common_args"]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_ansible_reads_it_without_the_package(elsewhere: bool, tmp_path: Path) -> None:
    """A stock AWX has ansible-core and a checkout, and at most a package that is called so too."""
    checkout = tmp_path / "checkout"
    for name in ("vms", "inventory", "plugins", "stackyard"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "ansible.cfg", checkout)
    blocker = tmp_path / "blocker" / "sitecustomize.py"
    blocker.parent.mkdir()
    if elsewhere:
        (blocker.parent / "stackyard").mkdir()
        (blocker.parent / "stackyard" / "__init__.py").touch()
    # The editable install puts a finder into meta_path or the checkout into sys.path.
    blocker.write_text(
        "import sys\n"
        "sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]\n"
        f"sys.path = [p for p in sys.path if p != {str(ROOT)!r}]\n"
    )
    done = ansible_inventory(
        "--list",
        "--export",
        "-i",
        str(checkout / "inventory" / "vms.yml"),
        cwd=checkout,
        PYTHONPATH=str(blocker.parent),
        ANSIBLE_INVENTORY_UNPARSED_FAILED="true",
    )
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["k3s"]["hosts"]) == K3S


def test_a_mistake_fails_the_source_and_names_it(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "vms").mkdir(parents=True)
    (site / "inventory").mkdir()
    (site / "inventory" / "vms.yml").write_text("plugin: vms\n")
    (site / "vms" / "a.yaml").write_text("name: a\ntarget_node: n\nmemroy: 1\n")
    done = ansible_inventory("--list", "-i", str(site / "inventory" / "vms.yml"))
    assert done.returncode != 0
    assert "a.yaml:3: unknown key 'memroy', did you mean memory?" in " ".join(done.stderr.split())


def test_constructed_groups(tmp_path: Path) -> None:
    source = tmp_path / "vms.yml"
    source.write_text(
        f"plugin: vms\nvms: {ROOT}/vms\n"
        "keyed_groups:\n  - {key: stackyard_definition.target_node, prefix: at}\n"
        "groups: {large: stackyard_definition.memory_mib > 10000}\n"
    )
    data = listed("-i", str(source))
    assert data["large"]["hosts"] == ["k8s-observability"]
    assert set(data["at_node03"]["hosts"]) == {"k8s-tools", "k8s-observability"}


def test_nornir_reads_it() -> None:
    nornir = InitNornir(
        inventory={"plugin": "StackyardInventory", "options": {"site": str(ROOT)}},
        logging={"enabled": False},
    )
    assert set(nornir.filter(F(groups__contains="k3s")).inventory.hosts) == K3S
    host = nornir.inventory.hosts["k8s-home"]
    assert (host.hostname, host.username) == ("192.168.1.16", "suporte")
    assert host["cluster_name"] == "home"
