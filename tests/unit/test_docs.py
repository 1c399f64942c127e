"""What README.md and docs/ say: their examples load, what they name is there."""

import re
import shutil
from pathlib import Path

import pytest
import typer.main

from stackyard.cli.main import app
from stackyard.fleet import load_fleet
from stackyard.inventory import build_inventory

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
COMMAND = re.compile(r"\bstackyard ((?:[a-z]+ ?)+)")


def test_the_first_definition_makes_a_cluster_of_the_example_site(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    (example,) = (text for language, text in BLOCK.findall(readme) if language == "yaml")
    for folder in ("vms", "inventory"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "vms" / "k8s-first.yaml").write_text(example)
    inventory = build_inventory(load_fleet(tmp_path).definitions)
    assert "k8s-first" in inventory.groups["k3s"].hosts
    assert inventory.hosts["k8s-first"].address == "192.168.1.30"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_exists(page: Path) -> None:
    for language, text in BLOCK.findall(page.read_text()):
        if language == "console":
            for words in COMMAND.findall(text):
                _assert_command(words.split())


def test_every_target_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name
        for page in PAGES
        for name in re.findall(r"(?:`|^[#$] )make ([a-z-]+)", page.read_text(), re.MULTILINE)
    }
    assert named <= targets


def test_every_debian_package_is_named() -> None:
    makefile, readme = ((ROOT / name).read_text() for name in ("Makefile", "README.md"))
    packages = {
        package
        for line in re.findall(r"\bPACKAGES *:?= *(.*?)(?:$|;)", makefile, re.MULTILINE)
        for package in line.split()
    }
    assert packages >= {"python3-venv", "systemd-container", "mmdebstrap"}
    assert {name for name in packages if f"`{name}`" not in readme} == set()


def _assert_command(words: list[str]) -> None:
    commands = vars(typer.main.get_command(app))["commands"]
    for word in words:
        if commands is None:
            return  # what follows a command are its arguments
        assert word in commands, f"stackyard {' '.join(words)}"
        commands = vars(commands[word]).get("commands")
        if commands is None:
            return  # what follows are arguments
