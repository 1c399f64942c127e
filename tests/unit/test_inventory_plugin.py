"""Options of Ansible's inventory plugin: filters, groups of one's own, strictness, the cache."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = "."  # all of its sources


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "vms").mkdir()
    (tmp_path / "inventory").mkdir()
    for name, node, memory in (("a", "n1", 1024), ("b", "n2", 2048), ("c", "n2", 4096)):
        text = f"name: {name}\ntarget_node: {node}\nmemory: {memory}\n"
        (tmp_path / "vms" / f"{name}.yaml").write_text(text)
    return tmp_path


def run(
    site: Path, options: str, sources: str = "vms.yml", **environ: str
) -> subprocess.CompletedProcess[str]:
    (site / "inventory" / "vms.yml").write_text(f"plugin: vms\n{options}")
    source = site / "inventory" / sources
    return subprocess.run(
        [str(Path(sysconfig.get_path("scripts"), "ansible-inventory")), "--list", "-i", source],
        cwd=ROOT,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def listed(site: Path, options: str = "", sources: str = "vms.yml", **environ: str) -> Any:
    done = run(site, options, sources, **environ)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(site: Path, options: str) -> str:
    done = run(site, options)
    assert done.returncode != 0
    return " ".join(done.stderr.split())


def examples() -> list[dict[str, Any]]:
    source = (ROOT / "plugins" / "inventory" / "vms.py").read_text()
    text = source.partition('EXAMPLES = r"""')[2].partition('"""')[0]
    return list(yaml.safe_load_all(text))


@pytest.mark.parametrize("number", range(4))
def test_the_examples_of_the_documentation_work(number: int, site: Path) -> None:
    assert len(examples()) == 4
    source = examples()[number] | {"vms": str(ROOT / "vms")}
    if source.pop("verify", None):
        # What they do with what Proxmox says is shown by tests that have one.
        del source["include_pools"], source["filters"], source["keyed_groups"]
    if "cache_connection" in source:
        source["cache_connection"] = str(site / "cache")
    assert source.pop("plugin") in ("vms", "fullstack.stackyard.vms")
    done = run(site, yaml.safe_dump(source))
    assert (done.returncode, done.stderr) == (0, "")
    hosts = json.loads(done.stdout)["_meta"]["hostvars"]
    assert "k8s-observability" in hosts
    assert ("k8s-home" in hosts) == ("filters" not in source)


def test_an_option_that_there_is_not_is_refused(site: Path) -> None:
    assert "there is no option filter, did you mean filters?" in refused(site, "filter: [x]\n")


def test_filters_leave_hosts_out(site: Path) -> None:
    data = listed(
        site,
        "filters:\n  - stackyard_definition.memory_mib > 1024\n  - inventory_hostname != 'c'\n",
    )
    assert list(data["_meta"]["hostvars"]) == ["b"]
    assert "node_n1" not in data


def test_filters_that_leave_no_host_are_an_error(site: Path) -> None:
    """An empty inventory would be the end of all that AWX has."""
    said = refused(site, "filters: [stackyard_definition.target_node == 'n9']\n")
    assert "vms.yml: there is no host: filters leave out all of them" in said


def test_a_filter_that_yaml_takes_for_a_mapping_is_refused(site: Path) -> None:
    """It would be a mapping to Jinja as well, which is true for every host."""
    said = refused(site, "filters:\n  - stackyard_definition.description == 'role: db'\n")
    assert "in filters is no text: put it in quotes" in said


def test_filters_see_every_group_that_ansible_puts_a_host_in(site: Path) -> None:
    for name in ("k8s-dev-cp1", "k8s-dev-w1", "talos-x-cp1"):
        (site / "vms" / f"{name}.yaml").write_text(f"name: {name}\ntarget_node: n1\n")
    data = listed(site, "filters: [\"'kubeadm' in group_names\"]\n")
    assert set(data["_meta"]["hostvars"]) == {"k8s-dev-cp1", "k8s-dev-w1"}


def test_a_filter_leaves_no_trace_of_a_host_in_its_cluster(site: Path) -> None:
    for name, address in (("k8s-dev-cp1", 1), ("k8s-dev-cp2", 2), ("k8s-dev-w1", 3)):
        (site / "vms" / f"{name}.yaml").write_text(
            f"name: {name}\ntarget_node: n1\nipconfig0: ip=10.0.0.{address}/24\n"
        )
    variables = listed(site, "filters: [inventory_hostname != 'k8s-dev-cp1']\n")["_meta"][
        "hostvars"
    ]
    assert variables["k8s-dev-w1"]["cluster_members"] == ["k8s-dev-cp2", "k8s-dev-w1"]
    assert variables["k8s-dev-w1"]["cluster_endpoint"] == "10.0.0.2"
    variables = listed(site, "filters: [\"'cp' not in inventory_hostname\"]\n")["_meta"]["hostvars"]
    assert variables["k8s-dev-w1"]["cluster_members"] == ["k8s-dev-w1"]
    assert "cluster_endpoint" not in variables["k8s-dev-w1"]


def test_two_sources_with_some_of_the_hosts_each_have_all_clusters(site: Path) -> None:
    for name in ("k8s-dev-cp1", "k8s-prod-cp1", "talos-x-cp1"):
        (site / "vms" / f"{name}.yaml").write_text(f"name: {name}\ntarget_node: n1\n")
    others = "plugin: vms\nfilters: [cluster_name | default('') == 'prod']\n"
    (site / "inventory" / "others.yml").write_text(others)
    (site / "inventory" / "second.yml").write_text(others.replace("prod", "x"))
    more = "name: z\ntarget_node: n1\ngroups: [cluster_dev]\n"
    (site / "vms" / "z.yaml").write_text(more)
    third = "plugin: vms\nfilters: [inventory_hostname == 'z']\n"
    (site / "inventory" / "zz.yml").write_text(third)
    data = listed(site, "filters: [cluster_name | default('dev') == 'dev']\n", sources=FOLDER)
    for name in ("k8s-dev-cp1", "k8s-prod-cp1", "talos-x-cp1"):
        assert data["_meta"]["hostvars"][name]["cluster_members"] == [name]
    assert data["kubeadm_control_plane"]["hosts"] == ["k8s-prod-cp1", "k8s-dev-cp1"]
    assert data["talos"]["children"] == ["talos_control_plane"]
    # A play may name what no host is left in.
    assert "talos" in listed(site, "filters: [cluster_name is not defined]\n")["all"]["children"]


def test_a_filter_that_fails_is_a_warning_or_strictly_an_error(site: Path) -> None:
    options = "filters: [nothing.at.all > 1]\n"
    done = run(site, options)
    assert "the filter nothing.at.all > 1 fails for the host a" in " ".join(done.stderr.split())
    assert set(json.loads(done.stdout)["_meta"]["hostvars"]) == {"a", "b", "c"}
    assert "fails for the host a" in refused(site, options + "strict: true\n")


def test_constructed_variables_and_groups(site: Path) -> None:
    data = listed(
        site,
        "strict: true\n"
        "compose: {twice: stackyard_definition.memory_mib * 2}\n"
        "groups: {large: twice > 4000}\n"
        "keyed_groups: [{key: stackyard_definition.target_node, prefix: at}]\n",
    )
    assert data["_meta"]["hostvars"]["a"]["twice"] == 2048
    assert data["large"]["hosts"] == ["b", "c"]
    assert data["at_n2"]["hosts"] == ["b", "c"]


@pytest.mark.parametrize(
    "options",
    [
        "compose: {x: nothing.at.all}\n",
        "groups: {x: nothing.at.all}\n",
        "keyed_groups: [{key: nothing.at.all}]\n",
    ],
)
def test_strict_is_about_everything_constructed(site: Path, options: str) -> None:
    assert set(listed(site, options)["_meta"]["hostvars"]) == {"a", "b", "c"}
    assert "nothing" in refused(site, options + "strict: true\n")


def test_a_constructed_group_named_like_a_host_is_refused(site: Path) -> None:
    options = "keyed_groups: [{key: inventory_hostname, prefix: '', separator: ''}]\n"
    assert "a group is named like the host" in refused(site, options)


BESIDE = {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "False"}
REFUSED = [
    "strict: true\nfilters: [nothing.at.all]\n",
    "strict: true\ncompose: {x: nothing.at.all}\n",
    "strict: true\ngroups: {x: nothing.at.all}\n",
    "keyed_groups: [{key: inventory_hostname, prefix: '', separator: ''}]\n",
]


@pytest.mark.parametrize("options", REFUSED)
def test_a_refused_source_leaves_nothing_behind(options: str, site: Path) -> None:
    (site / "inventory" / "legacy.ini").write_text("[legacy]\nold1\n")
    done = run(site, options, FOLDER, **BESIDE)
    assert "Unable to parse" in " ".join(done.stderr.split())
    listed = json.loads(done.stdout)
    assert set(listed["_meta"]["hostvars"]) == {"old1"}
    assert listed["all"]["children"] == ["ungrouped", "legacy"]
    assert "ansible_ssh_common_args" not in done.stdout  # which all would have


def test_another_sources_group_named_like_its_host_is_no_mistake_of_this_one(site: Path) -> None:
    (site / "inventory" / "legacy.ini").write_text("[bastion]\nbastion\n")
    done = run(site, "", FOLDER)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["_meta"]["hostvars"]) == {"a", "b", "c", "bastion"}
    # One of both from here is, and so is a host of ours in it.
    done = run(site, "groups: {bastion: true}\n", FOLDER)
    assert "a group is named like the host bastion:" in " ".join(done.stderr.split())
    (site / "inventory" / "legacy.ini").write_text("[a]\nold1\n")
    done = run(site, "", FOLDER)
    assert "a group is named like the host a:" in " ".join(done.stderr.split())


def test_a_mistake_is_an_error_beside_another_source_too(site: Path) -> None:
    (site / "inventory" / "legacy.ini").write_text("[legacy]\nold1\n")
    (site / "vms" / "a.yaml").write_text("name: broken\n")
    done = run(site, "", FOLDER)
    assert done.returncode != 0
    assert done.stdout == ""
    assert "target_node is missing" in " ".join(done.stderr.split())


def test_a_source_whose_name_ends_like_that_of_the_site_is_read(site: Path) -> None:
    (site / "inventory" / "offsite.yml").write_text("all: {hosts: {router: {}}}\n")
    for name in ("site.yml", "known_hosts", "known_hosts.old", "lab_known_hosts"):
        (site / "inventory" / name).write_text("nodes: {n1: {threads: 1, memory: 1}}\n")
    done = run(site, "", FOLDER)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["_meta"]["hostvars"]) == {"a", "b", "c", "router"}


def test_a_folder_that_leads_out_of_the_site_is_refused(site: Path) -> None:
    outside = site / "elsewhere"
    (site / "vms").rename(outside)
    inside = site / "site"
    (inside / "inventory").mkdir(parents=True)
    (inside / "vms").symlink_to(outside)
    assert f"vms:1: is a link out of {inside}, to {outside}" in refused(inside, "")


def test_what_of_ansible_lies_above_and_below(site: Path) -> None:
    """As docs/inventory.md says: group_vars above groups' variables, host_vars above hosts'."""
    fixed = "target_node: n1\nciuser: me\nipconfig0: ip=10.0.0.1/24\n"
    (site / "vms" / "k8s-x.yaml").write_text(f"name: k8s-x\n{fixed}")
    given = (
        '{"cluster_endpoint": "vip", "ansible_ssh_common_args": "-4",'
        ' "cluster_name": "y", "ansible_user": "you"}'
    )
    keys = ("cluster_endpoint", "ansible_ssh_common_args", "cluster_name", "ansible_user")
    for folder, name in (("group_vars", "all"), ("host_vars", "k8s-x")):
        (site / "inventory" / folder).mkdir()
        (site / "inventory" / folder / f"{name}.json").write_text(given)
        variables = listed(site)["_meta"]["hostvars"]["k8s-x"]
        of_the_host = ["x", "me"] if folder == "group_vars" else ["y", "you"]
        assert [variables[key] for key in keys] == ["vip", "-4", *of_the_host]


def test_the_environment_names_host_keys_from_the_source_on(site: Path) -> None:
    data = listed(site, STACKYARD_KNOWN_HOSTS="lab_hosts")
    arguments = data["_meta"]["hostvars"]["a"]["ansible_ssh_common_args"]
    assert f"UserKnownHostsFile={site}/inventory/lab_hosts" in arguments


def test_the_cache_never_answers_with_yesterdays_hosts(site: Path) -> None:
    kept = site / "cache"
    options = (
        f"cache: true\ncache_plugin: ansible.builtin.jsonfile\ncache_connection: {kept}\n"
        "cache_timeout: 0\n"
    )
    first = listed(site, options)
    (entry,) = kept.iterdir()
    assert listed(site, options) == first
    assert first == listed(site)

    # What is kept is really used …
    entry.write_text(entry.read_text().replace("n1", "n9"))
    assert listed(site, options)["node_n9"]["hosts"] == ["a"]
    # … until a single byte changes, a host comes or goes, or somebody asks for no cache.
    (site / "vms" / "a.yaml").write_text("name: a\ntarget_node: n3\n")
    assert listed(site, options)["node_n3"]["hosts"] == ["a"]
    (site / "vms" / "a.yaml").unlink()
    assert set(listed(site, options)["_meta"]["hostvars"]) == {"b", "c"}


def test_dates_are_variables_too(site: Path) -> None:
    dates = {"day": "2026-11-23", "moment": "2026-11-23 10:00:00", "zone": "2026-11-23T10:00:00Z"}
    variables = "".join(f"  {name}: {text}\n" for name, text in dates.items())
    (site / "vms" / "a.yaml").write_text(f"name: a\ntarget_node: n\nvariables:\n{variables}")
    kept = site / "cache"
    options = (
        f"cache: true\ncache_plugin: jsonfile\ncache_connection: {kept}\n"
        "compose: {month: day.month, hour: moment.hour, offset: zone.utcoffset().seconds}\n"
    )
    first = listed(site, options)["_meta"]["hostvars"]["a"]
    (entry,) = kept.iterdir()
    entry.write_text(entry.read_text().replace("11-23", "12-23"))
    second = listed(site, options)["_meta"]["hostvars"]["a"]
    assert [first[name] for name in ("month", "hour", "offset")] == [11, 10, 0]
    assert [second[name] for name in ("month", "hour", "offset")] == [12, 10, 0]
    assert first["day"] == "2026-11-23"


REFRESHED = """
import gc, sys, weakref
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader

inventory = InventoryManager(loader=DataLoader(), sources=[sys.argv[1]])
first = weakref.ref(inventory.get_host("a"))
inventory.refresh_inventory()
gc.collect()
print(first(), inventory.get_host("a"))
"""


def test_a_refresh_leaves_no_former_inventory_in_memory(site: Path) -> None:
    source = site / "inventory" / "vms.yml"
    source.write_text("plugin: vms\n")
    command = [sys.executable, "-c", REFRESHED, str(source)]
    assert subprocess.check_output(command, cwd=ROOT, text=True) == "None a\n"
