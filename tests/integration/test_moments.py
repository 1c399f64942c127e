"""What somebody else does at the worst moment of a command harms nobody and is never lost."""

import asyncio
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apply_site import Site, make_site, vm
from fault_site import Commands
from proxmox_lab import StartEndpoint

from stackyard.cli import vms
from stackyard.fleet import load_fleet
from stackyard.lab.api.vm import Vm, new_identity
from stackyard.plan.observed import UNCONFIGURED, marker
from stackyard.proxmox import client as clients
from stackyard.proxmox import observe, rivals
from stackyard.proxmox.client import Client
from stackyard.proxmox.converge import remove_tag
from stackyard.proxmox.planning import plan_fleet
from stackyard.proxmox.settings import Settings

Do = Callable[[], None]
AT_NODE01 = "/nodes/node01/qemu"


@pytest.fixture
def site(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> Site:
    return make_site(tmp_path / "site", proxmox_endpoint({"pools": ["k8s"]}), count=1)


@pytest.fixture
def commands(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Commands:
    return Commands(site, monkeypatch, capsys)


def there(site: Site, name: str) -> list[tuple[int, str]]:
    """VMID and node of each VM of a name, from the lab's own state."""
    found = site.endpoint.endpoint.cluster.vms.values()
    return sorted((vm.vmid, vm.node) for vm in found if vm.label == name and not vm.template)


def made(commands: Commands) -> int:
    """Make k8s-0, and return its VMID."""
    assert commands.apply().code == 0
    ((vmid, _node),) = there(commands.site, "k8s-0")
    return vmid


def changed(site: Site, vmid: int, **config: str) -> Do:
    """Somebody changes a VM's configuration."""

    def do() -> None:
        found = site.endpoint.endpoint.cluster.vms[vmid]
        found.config.update(config)
        found.changed()

    return do


def given_away(site: Site, vmid: int, **config: str) -> Do:
    """Another command removes the VM, and a colleague's gets the VMID that is free."""

    def do() -> None:
        cluster = site.endpoint.endpoint.cluster
        cluster.forget(cluster.vms[vmid])
        own = {"name": "colleague-db", "memory": "2048", "cores": "2", **new_identity(), **config}
        cluster.vms[vmid] = Vm(vmid, "node01", own)

    return do


def off(site: Site, vmid: int, do: Do) -> list[bool]:
    """Do it once the guest is off, before the command looks at its task again."""
    done: list[bool] = []

    def look() -> None:
        cluster = site.endpoint.endpoint.cluster
        if cluster.running(cluster.vms[vmid]):
            site.endpoint.set_fault("GET", r"/tasks/.*qmshutdown.*/status$", meanwhile=look)
        elif not done:
            done.append(True)
            do()

    site.endpoint.set_fault("GET", r"/tasks/.*qmshutdown.*/status$", meanwhile=look)
    return done


def asked(monkeypatch: pytest.MonkeyPatch, do: Do) -> None:
    """Do it while the question is on the screen."""
    real = vms.ask

    def ask(question: str, yes: bool) -> None:
        do()
        real(question, yes)

    monkeypatch.setattr(vms, "ask", ask)


@pytest.mark.parametrize("removal", [("destroy", "k8s-0"), ("apply", "--replace", "k8s-0")])
def test_a_vmid_that_changed_hands_during_the_shutdown_is_left_alone(
    commands: Commands, removal: tuple[str, ...]
) -> None:
    vmid = made(commands)
    done = off(commands.site, vmid, given_away(commands.site, vmid))
    said = commands.run(*removal, "--yes")
    assert done
    assert said.code == 1
    assert f"k8s-0 (VM {vmid} on node01) is left alone: another VM has its VMID" in said.text
    assert there(commands.site, "colleague-db") == [(vmid, "node01")]


def test_a_removal_does_not_wait_for_the_lock_of_somebody_elses_vm(commands: Commands) -> None:
    site, vmid = commands.site, made(commands)
    site.endpoint.task(site.endpoint.call("POST", f"{AT_NODE01}/{vmid}/status/stop"))

    def being_cloned() -> None:
        given_away(site, vmid, lock="clone")()
        new = site.endpoint.endpoint.cluster.vms[vmid]
        site.endpoint.loop.call_later(0.3, new.config.pop, "lock")

    site.endpoint.set_fault("DELETE", rf"/qemu/{vmid}$", meanwhile=being_cloned)
    assert commands.run("destroy", "k8s-0", "--yes").code == 1
    assert there(site, "colleague-db") == [(vmid, "node01")]


def test_a_vm_whose_tag_was_taken_off_during_the_shutdown_is_not_removed(
    commands: Commands,
) -> None:
    vmid = made(commands)
    done = off(commands.site, vmid, changed(commands.site, vmid, tags="keep-me"))
    said = commands.run("destroy", "k8s-0", "--yes")
    assert (done, said.code) == ([True], 1)
    assert "its tag stackyard was taken off" in said.text
    assert there(commands.site, "k8s-0") == [(vmid, "node01")]


def test_a_vm_that_is_renamed_during_the_look_is_not_destroyed(commands: Commands) -> None:
    site, vmid = commands.site, made(commands)
    renamed = changed(site, vmid, name="precious")
    site.endpoint.set_fault("GET", rf"/qemu/{vmid}/pending$", meanwhile=renamed)
    said = commands.run("destroy", "k8s-0", "--yes")
    assert said.code == 1
    assert "there is no VM named k8s-0" in said.text
    assert there(site, "precious") == [(vmid, "node01")]


def test_another_vm_of_ours_under_the_same_vmid_is_not_rewritten(commands: Commands) -> None:
    site, vmid = commands.site, made(commands)
    other = {"name": "k8s-9", "ipconfig0": "ip=192.168.1.99/24,gw=192.168.1.1", **new_identity()}
    site.endpoint.set_fault(
        "GET", rf"/qemu/{vmid}/pending$", meanwhile=changed(site, vmid, **other)
    )
    commands.apply()
    assert there(site, "k8s-9") == [(vmid, "node01")]
    assert site.endpoint.endpoint.cluster.vms[vmid].config["ipconfig0"] == other["ipconfig0"]


def test_an_import_whose_tag_was_set_though_nobody_said_so_is_whole(commands: Commands) -> None:
    site = commands.site
    site.endpoint.set_fault("PUT", r"/qemu/110/config$", drop=True, after=True)
    assert commands.run("import", "legacy").code == 0
    assert "stackyard" in site.config("legacy")["tags"]
    assert (site.path / "vms" / "legacy.yaml").exists()
    commands.run("apply", "--prune", "--yes")
    assert there(site, "legacy") == [(110, "node02")]


@pytest.mark.parametrize("is_told", [True, False])
def test_an_import_that_set_no_tag_leaves_no_file_unless_nobody_can_tell(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, is_told: bool
) -> None:
    site = commands.site
    monkeypatch.setattr(clients, "READ_DEADLINE_SECONDS", 0.5)
    site.endpoint.set_fault("PUT", r"/qemu/110/config$", drop=True)
    if not is_told:
        site.endpoint.set_fault("GET", r"/qemu/110/config$", drop=True, times=1000)
    said = commands.run("import", "legacy")
    file = site.path / "vms" / "legacy.yaml"
    assert (said.code, file.exists()) == (1, not is_told)
    assert (f"{file} is kept: VM 110 on node02 may have the tag" in said.text) is not is_told


def unusual(commands: Commands) -> Site:
    """Make k8s-0 under a VMID that the rule would not give it and no definition says any more."""
    commands.site.define({**vm(0), "vmid": 7000})
    assert commands.apply().code == 0
    commands.site.define(vm(0))
    assert commands.run("plan").code == 0
    return commands.site


def moved(site: Site) -> None:
    """Somebody moves VM 7000 to another node."""
    site.endpoint.endpoint.cluster.vms[7000].node = "node02"


def test_a_vm_that_moves_before_it_is_read_is_not_made_again(commands: Commands) -> None:
    site = unusual(commands)
    site.endpoint.set_fault("GET", r"/node01/qemu/7000/pending$", meanwhile=lambda: moved(site))
    commands.apply()
    assert len(there(site, "k8s-0")) == 1


def test_a_vm_that_moves_between_two_lists_is_not_made_again(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, second_is_read, real = unusual(commands), threading.Event(), Client.get

    def get(self: Client, path: str, **params: Any) -> Any:  # only the order of two reads
        if path == AT_NODE01 and not second_is_read.is_set():
            second_is_read.wait(5)
            moved(site)
        rows = real(self, path, **params)
        if path == "/nodes/node02/qemu":
            second_is_read.set()
        return rows

    monkeypatch.setattr(Client, "get", get)
    commands.apply()
    assert len(there(site, "k8s-0")) == 1


def replaced(proxmox_endpoint: StartEndpoint, path: Path) -> tuple[Site, "subprocess.Popen[str]"]:
    """Begin to replace a VM with an unusual VMID, until it is being cloned and has no name."""
    site = make_site(path, proxmox_endpoint({"latency": {"clone": 2.0}}), count=1)
    site.define({**vm(0), "vmid": 7000})
    assert site.run("apply", "--yes").returncode == 0
    site.define(vm(0))
    site.endpoint.forget_requests()
    process = site.begin("apply", "--replace", "k8s-0", "--yes")
    while process.poll() is None and not any(w.endswith("/clone") for w in site.writes()):
        time.sleep(0.02)
    assert process.poll() is None
    return site, process


def test_an_apply_after_a_killed_replacement_finishes_it(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site, process = replaced(proxmox_endpoint, tmp_path / "site")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    after = site.run("apply", "--yes")
    assert after.returncode == 0, after.stdout + after.stderr
    assert there(site, "k8s-0") == [(7000, "node01")]


def test_an_apply_beside_a_replacement_makes_no_second_vm(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site, process = replaced(proxmox_endpoint, tmp_path / "site")
    site.run("apply", "--yes")
    process.communicate(timeout=60)
    assert there(site, "k8s-0") == [(7000, "node01")]


def test_who_lost_a_vmid_to_a_long_clone_does_not_make_the_vm_again(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = commands.site
    monkeypatch.setattr(  # a second for ten minutes
        rivals,
        "observe",
        lambda client, fleet, place, names: observe.observe_scope(
            client, fleet, place, observe.Scope(names, patience=1.0)
        ),
    )
    site.endpoint.set_fault("POST", r"/clone$", meanwhile=lambda: begin_elsewhere(site, 4.0))
    said = commands.apply()
    assert said.code == 1
    assert "that VMID was taken after the plan was made, perhaps by another apply" in said.text
    while site.endpoint.endpoint.cluster.vms[7941].lock:  # until the other one's clone is whole
        time.sleep(0.05)
    assert len(there(site, "k8s-0")) == 1


def begin_elsewhere(site: Site, seconds: float) -> None:
    """Another apply begins the clone of k8s-0 with the VMID that the rule gives it."""
    cluster = site.endpoint.endpoint.cluster
    temporary = {"description": " qmclone temporary file", "lock": "clone"}
    new = cluster.vms[7941] = Vm(7941, "node01", temporary)

    async def work(_task: object) -> None:
        await asyncio.sleep(seconds)
        config = {k: v for k, v in cluster.vms[9001].config.items() if k != "template"}
        new.config = {**config, "name": "k8s-0", "description": marker("k8s-0"), **new_identity()}
        new.changed()

    cluster.tasks.start("node01", "qmclone", "9001", "root@pam!other", work)


def test_a_node_that_falls_behind_the_last_step_is_an_error(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = commands.site
    monkeypatch.setattr(clients, "READ_DEADLINE_SECONDS", 0.5)

    def fall() -> None:
        site.endpoint.endpoint.cluster.down["node01"] = "No route to host"

    second_look(site, fall)
    said = commands.apply()
    assert said.code == 1
    assert "k8s-0 is wanted on node01, which is offline or does not answer" in said.text


def test_two_vms_of_one_name_after_an_apply_are_an_error(commands: Commands) -> None:
    site = commands.site

    def double() -> None:
        config = {"name": "k8s-0", "tags": "stackyard", **new_identity()}
        site.endpoint.endpoint.cluster.vms[7000] = Vm(7000, "node02", config)

    second_look(site, double)
    said = commands.apply()
    assert said.code == 1
    assert "there are 2 VMs of ours named k8s-0" in said.text


def second_look(site: Site, do: Do) -> None:
    """Do it just before what an apply has reached is looked at."""
    site.endpoint.set_fault("GET", r"^/nodes$", meanwhile=lambda: None)
    site.endpoint.set_fault("GET", r"^/nodes$", meanwhile=do)


def test_cloud_init_data_is_not_written_behind_a_start(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, vmid = commands.site, made(commands)
    path = f"{AT_NODE01}/{vmid}/status"
    site.endpoint.task(site.endpoint.call("POST", f"{path}/stop"))
    site.define({**vm(0), "ipconfig0": "ip=192.168.1.77/24,gw=192.168.1.1"})

    def start() -> None:
        assert site.endpoint.task(site.endpoint.call("POST", f"{path}/start")) == "OK"

    with monkeypatch.context() as context:
        asked(context, start)
        said = commands.apply()
    assert said.code == 1
    assert "it was started since the plan was made" in said.text
    assert commands.apply().code == 0
    guest = site.endpoint.call("GET", f"{AT_NODE01}/{vmid}/agent/network-get-interfaces")
    assert "192.168.1.77" in str(guest)


def test_a_vm_that_was_replaced_during_its_play_stays_unconfigured(commands: Commands) -> None:
    site, vmid = commands.site, made(commands)
    fleet = load_fleet(site.path)
    with Client(Settings.from_environment(site.endpoint.environ)) as client:
        _plan, observed = plan_fleet(client, fleet.definitions, fleet.site)
        assert commands.run("apply", "--replace", "k8s-0", "--yes").code == 0
        assert not remove_tag(client, observed.ours("k8s-0")[0], UNCONFIGURED)
        _plan, observed = plan_fleet(client, fleet.definitions, fleet.site)
        assert UNCONFIGURED in observed.ours("k8s-0")[0].tags
        assert remove_tag(client, observed.ours("k8s-0")[0], UNCONFIGURED)
    assert site.config("k8s-0")["tags"] == "stackyard"
    assert there(site, "k8s-0") == [(vmid, "node01")]


def test_what_is_no_template_any_more_is_not_cloned(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = commands.site.endpoint.endpoint.cluster

    def rebuild() -> None:
        config = {k: v for k, v in cluster.vms[9001].config.items() if k != "template"}
        cluster.vms[9001] = Vm(9001, "node01", {**config, "name": "half-built"})

    asked(monkeypatch, rebuild)
    said = commands.apply()
    assert said.code == 1
    assert "its template, VM 9001, is none any more" in said.text
    assert there(commands.site, "k8s-0") == []


def test_somebody_elses_vm_is_not_put_into_our_pool(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, vmid = commands.site, made(commands)
    site.define({**vm(0), "pool": "k8s"})
    asked(monkeypatch, given_away(site, vmid))
    assert commands.apply().code == 1
    assert vmid not in site.endpoint.endpoint.cluster.pools["k8s"].vmids
