"""`stackyard inventory`: what it prints, and that Ansible reads what it exports as the same."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEMPLATE = "{{ lookup('ansible.builtin.env', 'HOME') }}"


def stackyard(
    *arguments: str | Path, code: int = 0, **environ: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "stackyard.cli.main", "inventory", *map(str, arguments)],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


def ansible(source: Path, *arguments: str) -> Any:
    done = subprocess.run(
        [
            *(str(Path(sysconfig.get_path("scripts"), "ansible-inventory")), "--list"),
            *("-i", str(source), *arguments),
        ],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_INVENTORY_ENABLED": "vms,yaml,ini"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with all that is hard to write down."""
    files = {
        "cp1": "name: k8s-dev-cp1\ntarget_node: n-1\nipconfig0: ip=10.0.0.1/24\nciuser: me\n"
        'variables:\n  text: "it\'s #1: \\"x\\" = \\\\ y\\n"\n  number: \'16\'\n'
        "  list: [1, a, null]\n  deep: {on-site: true, 'a b': 1.5}\n"
        "  since: 2026-11-23\n  at: 2026-11-23 10:00:00\n  word: None\n",
        "w1": "name: k8s-dev-w1\ntarget_node: n-1\nvariables: {umlaut: ẞ}\n",
        "alone": "name: alone\ntarget_node: n-2\ngroups: [plugin]\n",
    }
    (tmp_path / "vms").mkdir()
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "vms.yml").write_text("plugin: vms\n")
    for name, text in files.items():
        (tmp_path / "vms" / f"{name}.yaml").write_text(text)
    return tmp_path


def test_no_file_is_called_as_standard_output_is_elsewhere(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    refused = stackyard("export", "--site", site, "--output", "-", code=1)
    assert refused.stderr.startswith("error: - is no name of a file here")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("form", "ending"), [("yaml", "yml"), ("json", "json"), ("ini", "ini")])
def test_ansible_reads_an_export_as_the_same(form: str, ending: str, site: Path) -> None:
    output = site / "inventory" / f"static.{ending}"
    stackyard("export", "--site", site, "--format", form, "--output", output)
    live, static = ansible(site / "inventory" / "vms.yml"), ansible(output)
    for variables in static["_meta"]["hostvars"].values():
        # The export has no path of this machine in it: it is found beside the file.
        pinned = variables.pop("ansible_ssh_common_args")
        assert "'UserKnownHostsFile=\"{{ inventory_dir }}/known_hosts\"'" in str(pinned)
        assert "StrictHostKeyChecking=yes" in str(pinned)
    for variables in live["_meta"]["hostvars"].values():
        del variables["ansible_ssh_common_args"]
    for group in [*static.values(), *live.values()]:
        group.get("children", []).sort()
    assert static == live


def test_links_beside_an_export_bring_the_variables_of_groups(site: Path) -> None:
    """As docs/inventory.md says; a group's name has `_` for what is no letter and no digit."""
    definition = site / "vms" / "w1.yaml"
    definition.write_text(definition.read_text().replace("k8s-dev", "k8s-on-prem"))
    (site / "inventory" / "group_vars").mkdir()
    (site / "inventory" / "group_vars" / "cluster_on_prem.yml").write_text("mine: 1\n")
    stackyard("export", "--site", site, "--output", site / "hosts.yml")
    assert "mine" not in ansible(site / "hosts.yml")["_meta"]["hostvars"]["k8s-on-prem-w1"]
    (site / "group_vars").symlink_to("inventory/group_vars")
    for source in (site / "hosts.yml", site / "inventory" / "vms.yml"):
        assert ansible(source)["_meta"]["hostvars"]["k8s-on-prem-w1"]["mine"] == 1


def test_a_pipe_is_no_file_to_write(site: Path) -> None:
    done = stackyard("export", "--site", site, "--output", "/dev/stdout", code=1)
    assert done.stderr == (
        "error: /dev/stdout is no regular file: name one, or leave the option out\n"
    )


def pinned(text: str) -> str:
    """Return the file of pinned keys that an export in YAML names."""
    common = yaml.safe_load(text.replace("!unsafe", ""))["all"]["vars"]["ansible_ssh_common_args"]
    option = next(word for word in shlex.split(common) if word.startswith("UserKnownHostsFile="))
    return option.partition("=")[2].strip('"')


def test_an_export_to_standard_output_reaches_its_hosts_wherever_it_is_kept(site: Path) -> None:
    known_hosts = site / "inventory" / "known_hosts"
    assert pinned(stackyard("export", "--site", site).stdout) == str(known_hosts)
    for named in ("lab_hosts", "/x/y"):
        done = stackyard("export", "--site", site, STACKYARD_KNOWN_HOSTS=named)
        assert pinned(done.stdout) == str(site / "inventory" / named)


def test_a_file_that_is_exported_follows_the_setting_of_pinned_keys(site: Path) -> None:
    output = site / "hosts.yml"
    for named, found in (
        ("", "{{ inventory_dir }}/inventory/known_hosts"),
        ("lab_hosts", "{{ inventory_dir }}/inventory/lab_hosts"),
        ("/x/y", "/x/y"),
    ):
        stackyard("export", "--site", site, "--output", output, STACKYARD_KNOWN_HOSTS=named)
        assert pinned(output.read_text()) == found


def test_an_export_into_a_linked_folder_finds_the_pinned_keys(site: Path) -> None:
    (site / "deep" / "er").mkdir(parents=True)
    (site / "linked").symlink_to("deep/er")
    output = site / "linked" / "hosts.yml"
    stackyard("export", "--site", site, "--output", output)
    (site / "inventory" / "known_hosts").touch()
    found = pinned(output.read_text()).replace("{{ inventory_dir }}", str(output.parent))
    assert Path(found).samefile(site / "inventory" / "known_hosts")


def test_an_export_into_a_link_that_leads_nowhere_is_an_error(site: Path) -> None:
    (site / "loop").symlink_to("loop")
    done = stackyard("export", "--site", site, "--output", site / "loop" / "hosts.yml", code=1)
    assert done.stderr.count("\n") == 1
    assert "hosts.yml cannot be written" in done.stderr


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_template_in_a_definition_stays_data(form: str, site: Path) -> None:
    text = f'name: alone\ntarget_node: n\nvariables: {{x: "{TEMPLATE}"}}\n'
    (site / "vms" / "alone.yaml").write_text(text)
    output = site / "inventory" / f"static.{form}"
    stackyard("export", "--site", site, "--format", form, "--output", output)
    found = ansible(output)["_meta"]["hostvars"]["alone"]["x"]
    assert found == {"__ansible_unsafe": TEMPLATE}


def test_ini_refuses_what_it_cannot_say(site: Path) -> None:
    text = f'name: alone\ntarget_node: n\nvariables: {{x: "{TEMPLATE}"}}\n'
    (site / "vms" / "alone.yaml").write_text(text)
    done = stackyard("export", "--site", site, "--format", "ini", code=1)
    assert done.stderr == (
        "error: x of the host alone cannot be written as INI: export yaml or json instead\n"
    )


def test_a_mistake_leaves_the_file_as_it_was(site: Path) -> None:
    output = site / "hosts.yml"
    stackyard("export", "--site", site, "--output", output)
    before = output.read_text()
    (site / "vms" / "alone.yaml").write_text("name: alone\n")
    assert (
        "target_node is missing"
        in stackyard("export", "--site", site, "--output", output, code=1).stderr
    )
    assert output.read_text() == before
    assert [path.name for path in site.iterdir() if path.name.startswith(".")] == []


def test_no_host_is_exported_only_where_that_is_allowed(site: Path) -> None:
    output = site / "hosts.yml"
    stackyard("export", "--site", site, "--output", output)
    before = output.read_text()
    for path in (site / "vms").iterdir():
        path.unlink()
    refused = stackyard("export", "--site", site, "--output", output, code=1)
    assert "no definition here" in refused.stderr
    assert output.read_text() == before
    stackyard("export", "--site", site, "--output", output, "--allow-empty")
    assert "alone" not in output.read_text()
    # A folder that is not there is not an empty one.
    (site / "vms").rmdir()
    stackyard("export", "--site", site, "--output", output, "--allow-empty", code=1)


def test_no_host_is_allowed_and_a_mistake_is_not(site: Path) -> None:
    output = site / "hosts.yml"
    output.write_text("full\n")
    for path in (site / "vms").iterdir():
        path.unlink()
    (site / "vms" / "_defaults.yaml").write_text("coers: 2\n")
    (site / "vms" / "a.YAML").write_text("name: a\n")
    (site / "vms" / "sub").mkdir()
    (site / "vms" / "sub" / "b.yaml").write_text("name: b\n")
    (site / "inventory").mkdir(exist_ok=True)
    (site / "inventory" / "site.yml").write_text("nods: {}\n")
    export = ("export", "--site", site, "--output", output, "--allow-empty")
    told = stackyard(*export, code=1).stderr
    for mistake in ("'coers'", "'nods'", "ends in .YAML", "is a folder with definitions"):
        assert mistake in told
    # The two files of the site are checked where nothing else is, too.
    (site / "vms" / "a.YAML").unlink()
    shutil.rmtree(site / "vms" / "sub")
    told = stackyard(*export, code=1).stderr
    assert "'coers'" in told
    assert "'nods'" in told
    assert output.read_text() == "full\n"


def test_list_is_what_ansible_exports(site: Path) -> None:
    text = f'name: alone\ntarget_node: n\nvariables: {{x: ["{TEMPLATE}", 1]}}\n'
    (site / "vms" / "alone.yaml").write_text(text)
    ours = json.loads(stackyard("list", "--site", site).stdout)
    theirs = ansible(site / "inventory" / "vms.yml", "--export")
    theirs["all"]["children"].remove("ungrouped")
    del theirs["_meta"]["profile"]
    for group in theirs.values():
        group.get("children", []).sort()
    assert ours == theirs


def test_host_is_what_a_play_sees(site: Path) -> None:
    text = f'name: k8s-dev-w1\ntarget_node: n\nvariables: {{x: "{TEMPLATE}"}}\n'
    (site / "vms" / "w1.yaml").write_text(text)
    ours = json.loads(stackyard("host", "k8s-dev-w1", "--site", site).stdout)
    theirs = ansible(site / "inventory" / "vms.yml")["_meta"]["hostvars"]["k8s-dev-w1"]
    assert theirs.pop("ansible_local") == {}  # of Ansible itself: a fact that there may be
    assert ours == theirs
    assert ours["cluster_members"] == ["k8s-dev-cp1", "k8s-dev-w1"]
    missing = stackyard("host", "k8s-dev-w2", "--site", site, code=1)
    assert missing.stderr == "error: there is no host k8s-dev-w2, did you mean k8s-dev-w1?\n"


def test_graph_is_a_tree(site: Path) -> None:
    assert stackyard("graph", "--site", site).stdout.splitlines()[:9] == [
        "@all:",
        "  |--@cluster_dev:",
        "  |  |--@cluster_dev_control_plane:",
        "  |  |  |--k8s-dev-cp1",
        "  |  |--@cluster_dev_workers:",
        "  |  |  |--k8s-dev-w1",
        "  |  |--k8s-dev-cp1",
        "  |  |--k8s-dev-w1",
        "  |--@kubeadm:",
    ]
