"""The collection: what is in its tarball, and that it works by its full name once installed."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_venv import ROOT, ansible_venv, bare_environment, checkout
from test_awx import AWX

LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
NAME = "fullstack.stackyard.vms"
# Folders of a site and of development: none of them is anybody else's business.
NEVER = {"vms", "inventory", "secrets", "tests", ".ci"}


@pytest.fixture(scope="session")
def bare() -> Path:
    return ansible_venv("ansible-core==2.19.*")


@pytest.fixture(scope="session")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = checkout(tmp_path_factory.mktemp("source"))
    (source / "vms" / "secret.yaml").write_text("name: secret\n")
    (source / "plugins" / "inventory" / "token.txt").write_text("secret\n")
    built = tmp_path_factory.mktemp("built")
    scripts = Path(sysconfig.get_path("scripts"))  # building by an allow-list needs distlib too
    run(scripts, "ansible-galaxy", "collection", "build", str(source), "--output-path", str(built))
    (found,) = built.iterdir()
    return found


@pytest.fixture(scope="session")
def collections(bare: Path, tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collections")
    command = ("ansible-galaxy", "collection", "install", "--offline", str(tarball))
    run(bare, *command, "--collections-path", str(folder))
    return folder


def run(
    bare: Path,
    command: str,
    *arguments: str,
    collections: Path | None = None,
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> str:
    settings = bare_environment(ANSIBLE_INVENTORY_UNPARSED_FAILED="True") | dict(environ or {})
    settings["HOME"] = str(bare.parent)
    if collections:
        settings["ANSIBLE_COLLECTIONS_PATH"] = str(collections)
    done = subprocess.run(
        [str(bare / command), *arguments],
        cwd=folder or bare,
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_tarball_holds_what_is_named_and_nothing_else(tarball: Path) -> None:
    assert tarball.name.startswith("fullstack-stackyard-")
    with tarfile.open(tarball) as archive:
        names = {name for name in archive.getnames() if not archive.getmember(name).isdir()}
    assert {name.split("/")[0] for name in names} & NEVER == set()
    assert not [name for name in names if name.endswith((".txt", ".pyc"))]
    assert {
        "plugins/inventory/vms.py",
        "stackyard/inventory/build.py",
        "stackyard/definitions/load.py",
        "meta/runtime.yml",
        "README.md",
    } <= names


def test_every_link_of_its_pages_leads_somewhere(tarball: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(tarball, tmp_path)
    pages = list(tmp_path.rglob("*.md"))
    assert tmp_path / "README.md" in pages
    for page in pages:
        for target in LINK.findall(page.read_text()):
            assert (page.parent / target).exists(), (page, target)


def test_it_works_by_its_full_name(bare: Path, collections: Path, tmp_path: Path) -> None:
    source = tmp_path / "vms.yml"
    source.write_text(f"plugin: {NAME}\nvms: {ROOT}/vms\n")
    listed = run(bare, "ansible-inventory", "--list", "-i", str(source), collections=collections)
    assert "k8s-tools" in json.loads(listed)["k3s"]["hosts"]


@pytest.fixture(params=["2.18", "2.19"])
def of_ones_own(request: pytest.FixtureRequest, tarball: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A repository that is set up as documented, and an environment for it."""
    page = (ROOT / "docs" / "awx.md").read_text().partition("## A repository of your own")[2]
    for name, text in {
        "ansible.cfg": page.partition("```ini\n")[2].partition("```")[0],
        "inventory/vms.yml": page.split("```yaml\n")[1].partition("```")[0],
        "plays/k3s.yml": page.split("```yaml\n")[2].partition("```")[0],
        "inventory/site.yml": "nodes: {n1: {}}\n",
        "inventory/offsite.yml": "all: {hosts: {b: {}}}\n",
        "vms/k8s-a.yaml": "name: k8s-a\ntarget_node: n1\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    bare = ansible_venv(f"ansible-core=={request.param}.*")
    command = ("ansible-galaxy", "collection", "install", "--offline", str(tarball))
    run(bare, *command, "--collections-path", str(tmp_path / "collections"))
    return tmp_path, bare


def listed_by_awx(site: Path, bare: Path, source: Path, **environ: str) -> Any:
    folder = ("--playbook-dir", str(site / "inventory"))
    command = ("ansible-inventory", "--list", "--export", *folder, "-i", str(source))
    return json.loads(run(bare, *command, folder=site, environ=environ))


def test_a_repository_of_ones_own_works_as_documented(of_ones_own: tuple[Path, Path]) -> None:
    site, bare = of_ones_own
    listed = listed_by_awx(site, bare, site / "inventory")
    assert listed["ungrouped"]["hosts"] == ["b"]
    assert set(listed["_meta"]["hostvars"]) == {"k8s-a"}
    source = site / "inventory" / "vms.yml"
    for named in (source.read_text(), f"plugin: {NAME}\n"):
        source.write_text(named)
        assert set(listed_by_awx(site, bare, source, **AWX)["_meta"]["hostvars"]) == {"k8s-a"}
    shown = run(bare, "ansible-playbook", "--list-hosts", "plays/k3s.yml", folder=site)
    assert "hosts (1):\n      k8s-a\n" in shown


def test_the_documented_commands_replace_an_older_one(
    of_ones_own: tuple[Path, Path], tarball: Path
) -> None:
    site, bare = of_ones_own
    page = (ROOT / "docs" / "awx.md").read_text()
    build, install = re.findall(r"^\$ (ansible-galaxy collection .*)", page, re.MULTILINE)
    (older,) = site.glob("collections/*/*/*/plugins/inventory/vms.py")
    older.write_text("# of an older checkout\n")
    command = [str(tarball) if word.endswith(".tar.gz") else word for word in install.split()]
    run(bare, *command, folder=site)
    assert "class InventoryModule" in older.read_text()
    (site / tarball.name).touch()
    scripts = Path(sysconfig.get_path("scripts"))
    run(scripts, *build.split()[:-1], str(site), folder=checkout(site / "checkout"))
    assert (site / tarball.name).stat().st_size


def test_its_jobs_get_their_inventory_from_awx_and_find_the_roles(
    of_ones_own: tuple[Path, Path],
) -> None:
    site, bare = of_ones_own
    listed = listed_by_awx(site, bare, site / "inventory" / "vms.yml", **AWX)
    # As AWX writes it.
    program = f"#! /usr/bin/env python3\n# -*- coding: utf-8 -*-\nprint({json.dumps(listed)!r})\n"
    hosts = site / "hosts"
    hosts.write_text(program)
    hosts.chmod(0o700)
    command = ("ansible-playbook", "--list-hosts", "--list-tasks", "-i", str(hosts))
    # What AWX reads there it puts behind a folder of its own; ansible-core 2.19 listens to neither.
    (line,) = re.findall(r"`(collections_paths = \w+)`", (ROOT / "docs" / "awx.md").read_text())
    settings = (site / "ansible.cfg").read_text()
    (site / "ansible.cfg").write_text(settings.replace("\n\n", f"\n{line}\n\n", 1))
    name = "ANSIBLE_COLLECTIONS_PATHS"
    environ = {name: f"{AWX[name]}:{line.rpartition(' ')[2]}"}
    shown = run(bare, *command, "plays/k3s.yml", folder=site, environ=environ)
    assert "hosts (1):\n      k8s-a\n" in shown
    assert "fullstack.stackyard.k3s : Publish the kubeconfig" in shown


@pytest.mark.parametrize("release", ["2.18", "2.19"])
def test_a_vault_says_which_package_it_needs(
    release: str, collections: Path, tmp_path: Path
) -> None:
    tasks = [
        {"fullstack.stackyard.kubeconfig": {"content": "{}", "context": "a"}},
        {"debug": {"msg": "{{ lookup('fullstack.stackyard.kubeconfig', 'a') }}"}},
    ]
    tolerant = [task | {"ignore_errors": True} for task in tasks]
    play = tmp_path / "play.yml"
    play.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tolerant}]))
    bare = ansible_venv(f"ansible-core=={release}.*")
    said = run(bare, "ansible-playbook", "-i", "localhost,", str(play), collections=collections)
    sentence = "needs the Python package hvac: add it to the execution environment"
    told = [line for line in said.splitlines() if line.startswith("fatal: ")]
    assert [sentence in line for line in told] == [True, True], said


def test_its_live_half_is_complete_and_light(collections: Path) -> None:
    root = collections / "ansible_collections" / "fullstack" / "stackyard"
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import stackyard.proxmox.live\n"
        "heavy = {'netaddr', 'requests', 'nornir', 'ansible'} & set(sys.modules)\n"
        "print(stackyard.proxmox.live.__file__, sorted(heavy))\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script, str(root)], capture_output=True, text=True, check=True
    ).stdout
    assert shown.split() == [str(root / "stackyard" / "proxmox" / "live.py"), "[]"]


def test_each_of_its_modules_finds_all_it_calls(collections: Path) -> None:
    root = collections / "ansible_collections" / "fullstack" / "stackyard"
    modules = [
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted(root.glob("stackyard/**/*.py"))
    ]
    script = (
        "import importlib, sys; sys.path.insert(0, sys.argv[1])\n"
        "for name in sys.argv[2:]: print(importlib.import_module(name).__file__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(root), *modules],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert all(line.startswith(str(root)) for line in done.stdout.splitlines())


def test_its_documentation_is_complete(bare: Path, collections: Path) -> None:
    shown = run(bare, "ansible-doc", "--type", "inventory", "--json", NAME, collections=collections)
    (plugin,) = json.loads(shown).values()
    options = plugin["doc"]["options"]
    assert {
        *("vms", "known_hosts", "filters", "compose", "keyed_groups", "cache"),
        *("verify", "include_tags", "include_pools"),
    } <= set(options)
    assert [name for name, option in options.items() if not option.get("description")] == []
    for example in yaml.safe_load_all(plugin["examples"]):
        assert example["plugin"] in options["plugin"]["choices"]
        assert set(example) <= set(options)
