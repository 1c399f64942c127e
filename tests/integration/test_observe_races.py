"""What others do between two of our reads is neither overlooked nor taken for something else."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apply_site import Site, make_site
from proxmox_lab import StartEndpoint

from stackyard.fleet import load_fleet
from stackyard.lab.api.vm import Vm
from stackyard.plan import TAG, Plan
from stackyard.plan.observed import marker
from stackyard.proxmox import makings, observe
from stackyard.proxmox.client import Client
from stackyard.proxmox.planning import plan_fleet, plan_removal
from stackyard.proxmox.settings import Settings

NODE = "/nodes/node01/qemu"


class Meddled(Client):
    """Somebody does something, once, just before the first read of a path that ends so."""

    def __init__(self, settings: Settings, ends: str, do: Callable[[], object]) -> None:
        super().__init__(settings)
        self.todo = [(ends, do)]

    def get(self, path: str, **params: Any) -> Any:
        if self.todo and path.endswith(self.todo[0][0]):
            self.todo.pop()[1]()
        return super().get(path, **params)


@pytest.fixture
def site(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> Site:
    return make_site(tmp_path / "site", proxmox_endpoint({"latency": {"clone": 0.4}}), count=1)


def plan(site: Site, ends: str, do: Callable[[], object]) -> Plan:
    """Plan while somebody does something."""
    fleet = load_fleet(site.path)
    with Meddled(Settings.from_environment(site.endpoint.environ), ends, do) as client:
        made, _observed = plan_fleet(client, fleet.definitions, fleet.site)
    assert client.todo == []
    return made


def begin(site: Site, vmid: int) -> str:
    """Begin k8s-0 as another apply does, and return the clone's task."""
    template = next(
        row["vmid"] for row in site.endpoint.call("GET", NODE) if row["name"] == "ubuntu24-template"
    )
    wanted: dict[str, str | int] = {
        "newid": vmid,
        "name": "k8s-0",
        "full": 1,
        "storage": "local-lvm",
    }
    return str(
        site.endpoint.call(
            "POST", f"{NODE}/{template}/clone", **wanted, description=marker("k8s-0")
        )
    )


def test_a_vm_that_another_apply_just_began_is_not_made_again(site: Site) -> None:
    (made,) = plan(site, "/nodes", lambda: None).actions
    vmid = made.vmid

    found = plan(site, "/cluster/resources", lambda: begin(site, vmid))

    assert [(a.verb, a.name, a.vmid) for a in found.actions] == [("finish", "k8s-0", vmid)]
    assert found.problems == ()


def test_a_vm_that_another_apply_just_configured_is_ours(site: Site) -> None:
    site.endpoint.task(begin(site, 7000))

    def configure() -> None:
        site.endpoint.call("PUT", f"{NODE}/7000/config", tags=TAG, delete="description")

    found = plan(site, "/7000/pending", configure)

    assert found.problems == ()
    assert [(a.verb, a.vmid) for a in found.actions] == [("update", 7000)]


def test_who_waits_for_a_vm_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(makings, "TOLD_AFTER_SECONDS", 0.1)
    told: list[str] = []
    fleet = load_fleet(site.path)
    with Client(Settings.from_environment(site.endpoint.environ), told.append) as client:
        (made,) = plan_fleet(client, fleet.definitions, fleet.site)[0].actions
        begin(site, made.vmid)
        plan_fleet(client, fleet.definitions, fleet.site)
    assert told == [
        f"waiting for VM {made.vmid} on node01: Proxmox is still making what may be one of yours"
    ]


def test_a_removal_waits_for_a_vm_that_is_being_made(site: Site) -> None:
    fleet = load_fleet(site.path)
    with Client(Settings.from_environment(site.endpoint.environ)) as client:
        (made,) = plan_fleet(client, fleet.definitions, fleet.site)[0].actions
        begin(site, made.vmid)
        planned, _ = plan_removal(client, "k8s-0", fleet.definitions, fleet.site)
    assert [(a.verb, a.name, a.vmid) for a in planned.actions] == [("destroy", "k8s-0", made.vmid)]


def test_somebody_elses_clone_is_not_waited_for_long(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observe, "STRANGERS_PATIENCE_SECONDS", 0.5)
    cluster, over = site.endpoint.endpoint.cluster, asyncio.Event()
    new = {"description": " qmclone temporary file", "lock": "clone"}
    cluster.vms[5555] = Vm(5555, "node01", new)

    async def work(_task: object) -> None:
        await over.wait()

    async def start() -> None:
        cluster.tasks.start("node01", "qmclone", "9001", "root@pam!other", work)

    site.endpoint.run(start())
    (made,) = plan(site, "/nodes", lambda: None).actions

    assert (made.verb, made.name) == ("create", "k8s-0")
    assert cluster.vms[5555].lock == "clone", "it was waited for to the end"
    site.endpoint.loop.call_soon_threadsafe(over.set)


def test_a_clone_whose_task_begins_late_is_waited_for(site: Site) -> None:
    (made,) = plan(site, "/nodes", lambda: None).actions
    new = Vm(made.vmid, "node01", {"description": " qmclone temporary file", "lock": "clone"})
    site.endpoint.endpoint.cluster.vms[made.vmid] = new
    whole = {"name": "k8s-0", "description": marker("k8s-0")}
    late = threading.Timer(1.0, lambda: setattr(new, "config", whole))

    found = plan(site, "/tasks", late.start)
    late.join()

    assert found.problems == ()
    assert [(a.verb, a.vmid) for a in found.actions] == [("finish", made.vmid)]
