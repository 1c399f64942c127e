"""An address that a plan gives to one VM while another one of ours goes on using it."""

from typing import Any

import pytest
from plan_world import SITE, definition_of, observed_of

from stackyard.plan import make_plan
from stackyard.plan.sharing import Shared, shared_addresses

IP = "ip=192.168.1.20/24"
OLD: dict[str, Any] = {"name": "old", "tags": "stackyard", "cpu": "host", "onboot": 1}
OLD |= {"memory": "1024", "ipconfig0": IP}


def shared(vm: dict[str, Any], *definitions: dict[str, Any], limit: str | None = None) -> Shared:
    there = {"vmid": 101, "node": "node01", "name": "old", "status": "running", "config": OLD}
    observed = observed_of({"nodes": {"node01": True}, "vms": [{**there, **vm}]})
    new = {"name": "new", "target_node": "node01", "ipconfigs": [{"ip": "192.168.1.20/24"}]}
    fleet = [definition_of(plain) for plain in (new, *definitions)]
    return shared_addresses(make_plan(fleet, observed, SITE, limit), fleet, observed)


NO_ADDRESS = {"name": "old", "target_node": "node01", "networks": [{"bridge": "vmbr0"}]}


def moves(**keys: Any) -> dict[str, Any]:
    ip = [{"ip": "192.168.1.30/24"}]
    return {"name": "old", "target_node": "node01", "ipconfigs": ip, **keys}


@pytest.mark.parametrize(
    ("definitions", "limit", "why"),
    [
        ((), None, "it is ours and has no definition"),
        ((moves(),), "new", ": `stackyard apply --limit old` lets it give the address up first"),
        ((moves(automatic_reboot=False),), None, "give the address up first, then restart old"),
        ((NO_ADDRESS,), None, "says nothing of addresses: give it an ipconfig0 of its own there"),
        (({**NO_ADDRESS, "networks": []},), None, "give it an ipconfig0 of its own there"),
        (({**NO_ADDRESS, "managed": False},), None, "take ipconfig0 off it in Proxmox first"),
    ],
)
def test_a_running_vm_keeps_its_address(definitions: Any, limit: str | None, why: str) -> None:
    found = shared({}, *definitions, limit=limit)
    (problem,) = found.problems
    assert problem.startswith("vms/new.yaml:1: new is to have 192.168.1.20, which old (VM 101 on")
    assert why in problem
    assert found.notes == ()


@pytest.mark.parametrize("limit", [None, "new"])
def test_what_removes_an_orphan_is_said_as_it_is(limit: str | None) -> None:
    (free,) = shared({}, limit=limit).problems
    (kept,) = shared({"config": {**OLD, "protection": 1}}, limit=limit).problems
    assert free.endswith("or `stackyard destroy old` removes it with its disks")
    assert kept.endswith("or take its protection off in Proxmox and destroy it")
    assert "--prune" not in free + kept


def test_an_address_of_ipv6_is_the_same_in_each_spelling() -> None:
    config = {**OLD, "ipconfig0": "ip6=2001:DB8::0:1/64"}
    there = {"vmid": 101, "node": "node01", "name": "old", "status": "running", "config": config}
    observed = observed_of({"nodes": {"node01": True}, "vms": [there]})
    new = {"name": "new", "target_node": "node01", "ipconfigs": [{"ip6": "2001:db8::1/64"}]}
    fleet = [definition_of(new)]
    (said,) = shared_addresses(make_plan(fleet, observed, SITE), fleet, observed).problems
    assert "new is to have 2001:db8::1, which old (VM 101 on node01, running) has" in said


def test_what_gives_its_address_up_shares_nothing() -> None:
    assert shared({}, moves()) == Shared()
    assert shared({"tags": ()}) == Shared()  # not ours: nobody knows what it does
    assert shared({"template": True}) == Shared()


def test_a_stopped_vm_is_only_told() -> None:
    found = shared({"status": "stopped"})
    assert (found.problems, len(found.notes)) == ((), 1)
    assert "old (VM 101 on node01, stopped) has" in found.notes[0]
