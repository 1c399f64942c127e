"""Commands that need no network load nothing that speaks to one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NETWORK = {
    *("aiohttp", "ansible", "hvac", "http.client", "nornir", "paramiko", "proxmoxer"),
    *("requests", "urllib3"),
}
PROGRAM = """
import sys
from stackyard.cli.main import main
sys.argv = ["stackyard", *sys.argv[1:]]
try:
    main()
finally:
    print("loaded:", *sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "validate",
        "schema",
        "inventory list",
        "inventory graph",
        "inventory host k8s-home",
        "inventory export",
        "addresses",
        "addresses next",
    ],
)
def test_no_network_library_is_loaded(command: str) -> None:
    assert loaded_by(*command.split()) & NETWORK == set()


def test_a_batch_of_kubeconfigs_loads_what_it_needs(tmp_path: Path) -> None:
    names = [f"k8s-{number}" for number in range(50)]
    document = {
        "clusters": [{"name": n, "cluster": {"server": f"https://{n}:6443"}} for n in names],
        "users": [{"name": n, "user": {}} for n in names],
        "contexts": [{"name": n, "context": {"cluster": n, "user": n}} for n in names],
    }
    (tmp_path / "in").write_text(json.dumps(document))
    store = ["--store", f"file:{tmp_path}/all"]
    loaded = loaded_by("kubeconfig", "merge", f"{tmp_path}/in", *store)
    assert loaded & {*NETWORK, "cryptography", "rich"} == set()


def loaded_by(*command: str) -> set[str]:
    """Run a command that succeeds; return the modules that it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stderr.partition("loaded:")[2].split())
    assert "stackyard.cli.main" in loaded
    return loaded


def test_the_plugin_asks_the_network_only_when_told_to() -> None:
    """Ansible itself loads some of these; our own rooms that need them are not loaded."""
    program = (
        "import sys\n"
        "import stackyard.inventory, stackyard.inventory.document, stackyard.definitions.load\n"
        "print(*sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) & {*NETWORK, "netaddr", "stackyard.proxmox"} == set()
