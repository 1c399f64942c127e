"""What a command loads before it knows that it needs it; each is a tenth of a second."""

import subprocess
import sys

import pytest

HEAVY = ("ansible", "hvac", "nornir", "paramiko", "pydantic", "requests", "rich.console", "ruamel")


@pytest.mark.parametrize(
    "modules",
    ["stackyard.cli.main", "stackyard.cli.vms, stackyard.fleet, stackyard.proxmox.planning"],
)
def test_a_plan_loads_nothing_that_only_an_apply_needs(modules: str) -> None:
    code = f"import sys, {modules}\nprint([name for name in {HEAVY} if name in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout == "[]\n"


def test_parsing_a_command_line_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom stackyard.cli.main import app\n"
        "try:\n    app(['plan', '--site', '/missing', '--limit', 'x'], standalone_mode=False)\n"
        "except Exception as error:\n    print(type(error).__name__)\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout == "NoSiteError\n[]\n"
