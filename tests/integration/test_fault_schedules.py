"""Random faults at random places, often several at once: whatever happens, the end is the same.

No VM twice, no disk lost, nothing left over. The schedules are drawn by hypothesis from a fixed
seed, so that a failure is the same one tomorrow.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from apply_site import make_site, vm
from fault_site import assert_converged, hasten
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from proxmox_lab import ProxmoxEndpoint, end_loop, start_endpoint

from stackyard.errors import StackyardError
from stackyard.fleet import Fleet, load_fleet
from stackyard.lab.api.faults import Fault, TaskFault
from stackyard.lab.machine import Simulated
from stackyard.lab.platform_file import EXAMPLE
from stackyard.proxmox.client import Client
from stackyard.proxmox.converge import Outcome, converge
from stackyard.proxmox.settings import Settings

NAMES = ("k8s-0", "k8s-1")
SCHEDULES = 120
QUICK = {
    "latency": {"clone": 0.004, "resize": 0, "start": 0},
    "timing": {"auth_failure": 0, "agent": 0, "statd": 10, "lock": 0.1},
}
READS = (r"/nodes$", r"/qemu$", r"/pending$", r"/config$", r"/tasks/.*/status$")
WRITES = (
    ("POST", r"/clone$"),
    ("PUT", r"/config$"),
    ("PUT", r"/resize$"),
    ("POST", r"/status/(start|reboot)$"),
)
ANSWERS = (
    (500, "Internal Server Error"),
    (500, "VM is locked (backup)"),
    (500, "checksum mismatch (file change by other user?)"),
    (500, "cluster not ready - no quorum?"),
    (595, "Connection refused"),
    (595, "No route to host"),
    (596, "Broken pipe"),
    (401, "permission denied - invalid PVE token"),
)
ENDS = (
    "WARNINGS: 1",
    "interrupted by signal",
    "can't lock file '/var/lock/qemu-server/lock-1000.conf' - got timeout",
    "start failed: QEMU exited with code 1",
)
# Proxmox says these before it does anything: they never follow an effect.
BEFORE = ("locked", "checksum", "quorum", "refused", "permission")


def requests() -> st.SearchStrategy[tuple[str, str]]:
    """Mostly writes, for there is more to lose."""
    return st.one_of(
        st.sampled_from(WRITES), st.sampled_from(WRITES), st.sampled_from(READS).map(_get)
    )


def _get(path: str) -> tuple[str, str]:
    return "GET", path


@st.composite
def answered(draw: st.DrawFn) -> Fault:
    method, path = draw(requests())
    status, reason = draw(st.sampled_from(ANSWERS))
    may_follow = not any(word in reason for word in BEFORE)
    return Fault(
        method,
        path,
        status,
        reason,
        after=may_follow and draw(st.booleans()),
        times=draw(st.integers(1, 4)),
    )


@st.composite
def dropped(draw: st.DrawFn) -> Fault:
    method, path = draw(requests())
    return Fault(method, path, drop=True, after=draw(st.booleans()), times=draw(st.integers(1, 3)))


FAULTS = st.one_of(
    answered(),
    dropped(),
    st.builds(
        TaskFault,
        kind=st.sampled_from(["qmclone", "resize", "qmstart", "qmreboot"]),
        exitstatus=st.sampled_from(ENDS),
        hangs=st.sampled_from([0.0, 0.0, 0.02]),
        times=st.integers(1, 2),
    ),
)


@dataclass(frozen=True)
class World:
    """A cluster that is used again and again, and a site of two VMs on it."""

    endpoint: ProxmoxEndpoint
    earlier: Fleet  # the same VMs, smaller and with other addresses
    fleet: Fleet

    def converge(self, fleet: Fleet | None = None) -> Outcome:
        wanted = fleet or self.fleet
        with Client(Settings.from_environment(self.endpoint.environ)) as client:
            return converge(client, wanted.definitions, wanted.site)

    def sentences(self) -> list[str]:
        """Converge as far as it goes, and return what was said against it."""
        try:
            outcome = self.converge()
        except StackyardError as error:
            return [str(error)]
        return [action.error for action in outcome.failed if action.error]

    async def clear(self) -> None:
        """Remove what a schedule made, once all that it began has ended."""
        cluster = self.endpoint.endpoint.cluster
        begun = [task.handle for task in cluster.tasks.newest() if task.running and task.handle]
        await asyncio.gather(*begun, return_exceptions=True)
        for made in [one for one in cluster.vms.values() if one.label in NAMES]:
            await cluster.machines.destroy(made.vmid)
            cluster.forget(made)


def smaller(number: int) -> dict[str, Any]:
    values = {**vm(number), "memory": 512, "ipconfig0": f"ip=192.168.1.{90 + number}/24"}
    values["disks"] = [{**values["disks"][0], "size": "5G"}, *values["disks"][1:]]
    return values


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, lab_certificate: tuple[Path, Path, Path]
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("schedules")
    document: dict[str, Any] = {**yaml.safe_load(EXAMPLE.read_text()), **QUICK}
    endpoint, thread = start_endpoint(
        document, Simulated(), folder / "requests.jsonl", lab_certificate
    )
    site = make_site(folder / "site", endpoint, count=len(NAMES))
    earlier = make_site(folder / "earlier", endpoint, count=0)
    earlier.define(*(smaller(number) for number in range(len(NAMES))))
    with pytest.MonkeyPatch.context() as patched:
        hasten(patched)
        yield World(endpoint, load_fleet(earlier.path), load_fleet(site.path))
    endpoint.run(endpoint.endpoint.stop())
    end_loop(endpoint.loop, thread)


@settings(
    max_examples=SCHEDULES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    faults=st.lists(FAULTS, min_size=1, max_size=4), made=st.booleans(), rounds=st.integers(1, 2)
)
def test_every_schedule_of_faults_ends_in_convergence(
    world: World, faults: list[Fault | TaskFault], made: bool, rounds: int
) -> None:
    if made:  # then there is something to change; else all is new
        assert not world.converge(world.earlier).failed
    for fault in faults:
        world.endpoint.endpoint.set_fault(replace(fault))  # a fault counts down
    try:
        for _ in range(rounds):
            assert all("\n" not in sentence for sentence in world.sentences())
        world.endpoint.endpoint.clear_faults()
        last = world.converge()
        assert not last.failed, last.failed
        assert_converged(world.endpoint, NAMES)
        world.endpoint.forget_requests()
        assert world.converge().plan.is_empty
        assert all(r["method"] == "GET" for r in world.endpoint.requests())
    finally:
        world.endpoint.endpoint.clear_faults()
        world.endpoint.run(world.clear())
