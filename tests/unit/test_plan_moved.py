"""A kept plan against a world that moved on: each VM that did is named once, with the reason."""

import re
from dataclasses import replace

import pytest
from plan_world import SITE, definition_of, observed_of

from stackyard.plan import Observed, ObservedVm, PlanError, make_plan
from stackyard.plan.moved import check_cluster, moved_since, with_digests
from stackyard.plan.values import Plan
from stackyard.proxmox.wire import decode_pending

TEMPLATE = {"vmid": 9001, "node": "node01", "name": "ubuntu", "template": True, "config": {}}
OURS = {"name": "a", "tags": "stackyard", "cpu": "host", "onboot": 1, "memory": "1024"}
WORLD = observed_of(
    {
        "nodes": {"node01": True, "node02": True},
        "vms": [{"vmid": 101, "node": "node01", "name": "a", "config": OURS}, TEMPLATE],
    }
)
FLEET = [
    definition_of({"name": "a", "target_node": "node02", "cores": 2}),
    definition_of({"name": "b", "target_node": "node01", "clone": "ubuntu", "vmid": 102}),
]


def plan() -> Plan:
    return make_plan(FLEET, WORLD, SITE)


def test_an_unmoved_world_refuses_nothing() -> None:
    assert moved_since(plan(), WORLD) == {}


def test_a_template_that_the_plan_moves_is_not_missed_where_it_goes() -> None:
    base = {"vmid": 900, "node": "node01", "name": "base", "template": True, "config": OURS}
    world = observed_of({"nodes": {"node01": True, "node02": True}, "vms": [base]})
    fleet = [
        definition_of({"name": "base", "target_node": "node02", "template": True}),
        definition_of({"name": "b", "target_node": "node02", "clone": "base"}),
    ]
    kept = make_plan(fleet, world, SITE)
    assert [action.name for action in kept.actions] == ["base", "b"]
    assert moved_since(kept, world) == {}


VM, SOURCE = WORLD.vms
CONFIG = VM.config
assert CONFIG is not None
NEW = ObservedVm(102, "node02", "c")


@pytest.mark.parametrize(
    ("world", "name", "why"),
    [
        ((SOURCE,), "a", "it is not there any more"),
        ((replace(VM, name="c"), SOURCE), "a", "it is not there any more"),
        ((replace(VM, node="node02"), SOURCE), "a", "it is on node02 now"),
        ((replace(VM, status="running"), SOURCE), "a", "it is running now, and was stopped"),
        ((replace(VM, config=replace(CONFIG, fingerprint="e")), SOURCE), "a", "configuration ch"),
        ((VM, SOURCE, NEW), "b", "its VMID has been taken by c on node02"),
        ((VM, SOURCE, replace(NEW, vmid=7, name="b")), "b", "VM 7 on node02 has its name now"),
        ((VM,), "b", r"its template ubuntu \(VM 9001\) is not on node01 any more"),
        ((VM, replace(SOURCE, template=False)), "b", "its template ubuntu"),
    ],
)
def test_what_moved_is_refused(world: tuple[ObservedVm, ...], name: str, why: str) -> None:
    refused = moved_since(plan(), replace(WORLD, vms=world))
    assert list(refused) == [name]
    assert re.search(why, refused[name])
    assert refused[name].endswith("; plan again")


def test_a_lock_that_came_is_no_change_and_its_digest_is_taken_over() -> None:
    rows: list[dict[str, object]] = [{"key": key, "value": OURS[key]} for key in OURS]
    rows += [{"key": "lock", "value": "backup"}, {"key": "digest", "value": "e" * 40}]
    locked = replace(WORLD, vms=(replace(VM, config=decode_pending(rows), lock="backup"), SOURCE))

    assert moved_since(plan(), locked) == {}
    assert {a.name: a.digest for a in with_digests(plan(), locked).actions} == {
        "a": "e" * 40,
        "b": None,
    }


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (replace(WORLD, nodes={"pve": True, "node01": True}), "a node node02; this has none"),
        (replace(WORLD, certificates={"node02": "BB"}), "whose node02 had another certificate"),
    ],
)
def test_a_plan_of_another_cluster_is_refused(now: Observed, why: str) -> None:
    there = replace(WORLD, certificates={"node02": "AA"})
    made = make_plan(FLEET, there, SITE)

    check_cluster(made, there)
    check_cluster(made, replace(there, nodes={**there.nodes, "node03": True}))
    check_cluster(made, replace(there, certificates={}))
    with pytest.raises(PlanError, match=why):
        check_cluster(made, now)


def test_a_node_that_is_away_refuses_what_goes_there() -> None:
    refused = moved_since(plan(), replace(WORLD, nodes={"node01": True, "node02": False}))
    assert list(refused) == ["a"]
    assert "node02 is offline or does not answer" in refused["a"]
