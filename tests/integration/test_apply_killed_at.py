"""SIGKILL at each kind of write: it takes effect, nobody waits for it, the next apply goes on."""

from pathlib import Path
from typing import Any

import pytest
from apply_site import make_site, vm
from fault_site import Commands, assert_converged
from proxmox_lab import StartEndpoint

NAMES = ("k8s-0",)
CONFIG, RESIZE = ("PUT", r"/config$"), ("PUT", r"/resize$")


def smaller() -> dict[str, Any]:
    values = {**vm(0), "memory": 512, "ipconfig0": "ip=192.168.1.90/24,gw=192.168.1.1"}
    values["disks"] = [{**values["disks"][0], "size": "5G"}, *values["disks"][1:]]
    return values


@pytest.fixture
def commands(
    proxmox_endpoint: StartEndpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Commands:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    return Commands(site, monkeypatch, capsys)


def kill_at(commands: Commands, method: str, path: str, *arguments: str) -> None:
    """Run a command and kill it while its request of this kind is being answered."""
    endpoint = commands.site.endpoint
    process = commands.site.begin(*arguments)
    endpoint.set_fault(method, path, meanwhile=process.kill)
    process.communicate(timeout=60)
    assert process.returncode == -9, "it did not get as far as that write"


@pytest.mark.parametrize(
    ("method", "path"), [("POST", r"/clone$"), CONFIG, RESIZE, ("POST", r"/status/start$")]
)
def test_a_creation(commands: Commands, method: str, path: str) -> None:
    kill_at(commands, method, path, "apply", "--yes")
    commands.finish(NAMES)


@pytest.mark.parametrize(("method", "path"), [CONFIG, RESIZE, ("POST", r"/status/reboot$")])
def test_a_change(commands: Commands, method: str, path: str) -> None:
    commands.site.define(smaller())
    assert commands.apply().code == 0
    commands.site.define(vm(0))
    kill_at(commands, method, path, "apply", "--yes")
    commands.finish(NAMES)


@pytest.mark.parametrize(("method", "path"), [("POST", r"/status/shutdown$"), ("DELETE", r"/\d+$")])
def test_a_removal(commands: Commands, method: str, path: str) -> None:
    assert commands.apply().code == 0
    kill_at(commands, method, path, "destroy", "k8s-0", "--yes")
    last = commands.run("destroy", "k8s-0", "--yes")
    assert last.code == 0 or "there is no VM named k8s-0" in last.err
    assert_converged(commands.site.endpoint, ())


def test_a_power_change(commands: Commands) -> None:
    assert commands.apply().code == 0
    commands.site.define({**vm(0), "vm_state": "stopped"})
    kill_at(commands, "POST", r"/status/shutdown$", "apply", "--yes")
    assert commands.apply().code == 0
    assert [row["status"] for row in commands.site.vms() if row["name"] == "k8s-0"] == ["stopped"]
    commands.site.define(vm(0))
    commands.finish(NAMES)
