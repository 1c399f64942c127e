"""Whether a plan fits: threads and memory of nodes, room on storages of both kinds."""

from dataclasses import replace
from typing import Any

import pytest
from plan_world import SITE, definition_of, observed_of

from stackyard.definitions.model import Source
from stackyard.plan import Observed, make_plan
from stackyard.plan.capacity import capacity_notes, capacity_problems, nodes_that_allocate
from stackyard.plan.consent import NOTHING, Consent
from stackyard.plan.observed import NodeRoom, StorageRoom

GIB = 1 << 30
IMPORTED = {"slot": "scsi0", "media": "disk", "storage": "gone", "import_from": "local:import/x"}


def world(*vms: dict[str, Any], **storages: StorageRoom) -> Observed:
    observed = observed_of({"nodes": {"node01": True, "node02": True}, "vms": list(vms)})
    running = tuple(replace(vm, memory_bytes=4 * GIB) for vm in observed.vms)
    room = {node: NodeRoom(8, 16 * GIB) for node in observed.nodes}
    rooms = dict.fromkeys(observed.nodes, tuple(storages.values()))
    return replace(observed, vms=running, rooms=room, storages=rooms)


def problems(observed: Observed, *wanted: dict[str, Any], consent: Consent = NOTHING) -> str:
    fleet = [definition_of({"target_node": "node01", **plain}) for plain in wanted]
    plan = make_plan(fleet, observed, SITE, consent=consent)
    assert plan.problems == ()
    return "\n".join([*capacity_problems(plan, fleet, observed), *capacity_notes(plan, observed)])


def ours(vmid: int, status: str = "running", **config: Any) -> dict[str, Any]:
    config = {"name": f"vm{vmid}", "tags": "stackyard", "cpu": "host", "onboot": 1, **config}
    place = {"vmid": vmid, "node": "node01", "name": f"vm{vmid}", "status": status}
    return {**place, "config": config}


def disk(size: str, slot: str = "scsi0") -> dict[str, Any]:
    return {"slot": slot, "media": "disk", "storage": "pool", "size": size}


def room(free: int, total: int = 100, thin: bool = False, shared: bool = False) -> StorageRoom:
    return StorageRoom("pool", free * GIB, total * GIB, thin, shared)


def test_a_clone_has_no_unused_disk_of_its_template() -> None:
    template = ours(9000, "stopped", name="base", template=1, unused0="old:vm-9000-disk-1")
    clone = {"name": "a", "clone": "base", "full_clone": True}
    kept = {"name": "base", "template": True, "vmid": 9000}
    assert problems(world({**template, "name": "base"}, pool=room(free=30)), kept, clone) == ""


def test_a_vm_larger_than_its_node() -> None:
    said = problems(world(), {"name": "a", "cores": 3, "sockets": 3, "memory_mib": 17000})
    assert said.splitlines() == [
        "vms/a.yaml:1: a asks for 9 CPUs, but node01 has 8",
        "vms/a.yaml:1: a asks for 17000 MiB of memory, but node01 has 16384",
    ]


def test_only_vms_that_run_take_memory() -> None:
    others = [ours(number) for number in (101, 102, 103)]
    big = {"name": "a", "memory_mib": 6000}
    kept = [{"name": f"vm{number}", "memory_mib": 512} for number in (101, 102, 103)]
    assert problems(world(*others), *kept, {**big, "vm_state": "stopped"}) == ""
    said = problems(world(*others), *kept, {**big, "vm_state": "running"})
    assert said.startswith("node01 has 16 GiB of memory, and the VMs that would run there ask for")
    moved = [{**one, "vm_state": "stopped"} for one in kept]
    assert problems(world(*others), *moved, {**big, "vm_state": "running"}) == ""


def test_what_was_too_much_before_is_not_this_plans_problem() -> None:
    others = [ours(number) for number in range(101, 107)]  # 24 GiB on a node of 16
    kept = [{"name": f"vm{n}", "memory_mib": 512} for n in range(101, 107)]
    wanted = [{**kept[0], "onboot": False}, *kept[1:]]
    assert problems(world(*others), *wanted) == ""


def test_a_storage_that_allocates_whole_disks_must_have_them() -> None:
    pool = {"pool": room(free=30)}
    two = [{"name": name, "disks": [disk("16G")]} for name in ("a", "b")]
    assert problems(world(**pool), two[0]) == ""
    assert problems(world(**pool), *two) == (
        "pool on node01 has 30 GiB free, and the plan asks for 32 GiB, most of it a: "
        "make room or choose another storage"
    )
    elsewhere = {**two[1], "target_node": "node02"}
    assert problems(world(**pool), two[0], elsewhere) == ""
    assert "pool has 30 GiB free" in problems(
        world(pool=room(free=30, shared=True)), two[0], elsewhere
    )


def test_a_thin_storage_may_promise_more_but_no_disk_larger_than_itself() -> None:
    pool = {"pool": room(free=10, thin=True)}
    assert "it is thin" in problems(world(**pool), {"name": "a", "disks": [disk("50G")]})
    assert problems(world(**pool), {"name": "a", "disks": [disk("101G")]}) == (
        "vms/a.yaml:1: a asks for a disk of 101G on pool on node01, which has 100 GiB in all"
    )


def test_a_storage_of_raw_disks_makes_no_other_ones() -> None:
    blocks = world(pool=replace(room(free=30), raw_only=True))
    qcow2 = {**disk("8G"), "format": "qcow2"}
    assert problems(blocks, {"name": "a", "disks": [qcow2]}) == (
        "vms/a.yaml:1: a is to have scsi0 as qcow2, but pool keeps raw disks alone: leave the "
        "format out"
    )
    assert problems(world(pool=room(free=30)), {"name": "a", "disks": [qcow2]}) == ""
    for good in ({"import_from": "local:import/debian.qcow2"}, {"format": "raw"}):
        assert problems(blocks, {"name": "a", "disks": [{**qcow2, **good}]}) == ""

    volumes = {f"scsi{n}": f"pool:base-900-disk-{n},size=4G" for n in range(2)}
    template = {"vmid": 900, "node": "node01", "name": "base", "template": True}
    template["config"] = {"name": "base", **volumes}
    there = world(template, pool=replace(room(free=30), raw_only=True))
    copies = [{**disk("8G"), "format": "raw"}, {**disk("8G", "scsi1"), "format": "qcow2"}]
    clone = {"name": "a", "clone": "base", "full_clone": True, "disks": copies}
    assert "a is to have scsi1 as qcow2" in problems(there, clone)


def test_growth_counts_and_what_is_destroyed_gives_back() -> None:
    old = ours(101, "stopped", memory="1024", scsi0="pool:vm-101-disk-0,size=20G")
    pool = {"pool": room(free=10)}
    grown = {"name": "vm101", "disks": [disk("31G")]}
    assert "asks for 11 GiB" in problems(world(old, **pool), grown)
    new = {"name": "b", "disks": [disk("28G")]}
    assert problems(world(old, **pool), new, consent=Consent(prune=True)) == ""
    anew = Consent(replace=frozenset({"vm101"}))
    assert problems(world(old, **pool), grown, consent=anew) != ""
    assert problems(world(old, **pool), {**grown, "disks": [disk("30G")]}, consent=anew) == ""


def test_an_imported_disk_takes_what_it_grows_to() -> None:
    new = {"name": "a", "disks": [{**disk("20G"), "import_from": "local:import/debian.qcow2"}]}
    assert problems(world(pool=room(free=30)), new) == ""
    assert "asks for 20 GiB" in problems(world(pool=room(free=10)), new)
    old = ours(101, "stopped", memory="1024")
    added = {**new, "name": "vm101"}
    assert problems(world(old, pool=room(free=30)), added) == ""
    assert "asks for 20 GiB" in problems(world(old, pool=room(free=10)), added)


def test_clones_of_a_template_that_the_same_plan_makes_are_counted() -> None:
    made = {"name": "gold", "template": True, "disks": [disk("4G")]}
    clone = {"name": "a", "clone": "gold", "full_clone": True, "disks": [disk("20G")]}
    assert problems(world(pool=room(free=25)), made, clone) == ""
    assert "asks for 24 GiB" in problems(world(pool=room(free=23)), made, clone)


def test_a_linked_clone_grows_on_the_storage_of_its_template() -> None:
    template = {"vmid": 900, "node": "node01", "name": "base", "template": True}
    template["config"] = {"name": "base", "scsi0": "pool:base-900-disk-0,size=4G"}
    clone = {"name": "a", "clone": "base", "disks": [disk("20G")]}
    assert problems(world(template, pool=room(free=16)), clone) == ""
    assert "asks for 16 GiB" in problems(world(template, pool=room(free=15)), clone)
    made = {"name": "gold", "template": True, "disks": [disk("4G")]}
    clone["clone"] = "gold"
    assert problems(world(pool=room(free=20)), made, clone) == ""
    assert "asks for 20 GiB" in problems(world(pool=room(free=19)), made, clone)


def test_a_linked_clone_as_large_as_its_template_needs_no_storage() -> None:
    template = {"vmid": 900, "node": "node01", "name": "base", "template": True}
    template["config"] = {"name": "base", "scsi0": "pool:base-900-disk-0,size=4G"}
    clone = {"name": "a", "target_node": "node01", "clone": "base", "disks": [disk("4G")]}
    plan = make_plan([definition_of(clone)], world(template), SITE)
    assert nodes_that_allocate(plan, world(template)) == frozenset()


def test_a_vm_that_the_cluster_is_to_start_takes_memory() -> None:
    big = {"name": "a", "memory_mib": 15000, "vm_state": "running", "ha": {"state": "started"}}
    others = [ours(number) for number in (101, 102, 103)]
    kept = [{"name": f"vm{number}", "memory_mib": 512} for number in (101, 102, 103)]
    assert "the VMs that would run there ask for" in problems(world(*others), *kept, big)


def test_an_idle_plan_needs_no_storage() -> None:
    old = ours(101, memory="1024", scsi0="pool:vm-101-disk-0,size=20G")
    fleet = [definition_of({"name": "vm101", "target_node": "node01", "disks": [disk("20G")]})]
    assert nodes_that_allocate(make_plan(fleet, world(old), SITE), world(old)) == frozenset()


def test_what_a_disk_cannot_have_is_told_once_as_a_whole_and_where_it_stands() -> None:
    template = {"vmid": 900, "node": "node01", "name": "base", "template": True}
    template["config"] = {"name": "base", "scsi0": "pool:base-900-disk-0,size=3G"}
    clone = {"name": "a", "target_node": "node01", "clone": "base", "full_clone": True}
    source = Source("vms/a.yaml", {"scsi0": 7})

    def said(wanted: dict[str, Any], observed: Observed) -> list[str]:
        fleet = [replace(definition_of({**clone, "disks": [wanted]}), source=source)]
        return list(capacity_problems(make_plan(fleet, observed, SITE), fleet, observed))

    assert said(disk("50T"), world(template, pool=room(free=10, thin=True))) == [
        "vms/a.yaml:7: a asks for a disk of 50T on pool on node01, which has 100 GiB in all"
    ]
    (absent,) = said({**disk("8G"), "storage": "gone"}, world(template, pool=room(free=10)))
    assert absent.startswith("vms/a.yaml:7: a is to have scsi0 on gone, which node01 does not")


@pytest.mark.parametrize(
    ("keys", "slot"),
    [
        ({"devices": {"efidisk0": {"storage": "gone"}}}, "efidisk0"),
        ({"devices": {"tpmstate0": {"storage": "gone", "version": "v2.0"}}}, "tpmstate0"),
        ({"disks": [{"slot": "ide1", "media": "cloudinit", "storage": "gone"}]}, "ide1"),
        ({"disks": [IMPORTED]}, "scsi0"),
    ],
)
def test_whatever_is_to_be_on_a_storage_needs_it(keys: dict[str, Any], slot: str) -> None:
    template = {"vmid": 900, "node": "node01", "name": "base", "template": True}
    template["config"] = {"name": "base", "scsi1": "pool:base-900-disk-0,size=3G"}
    there = world(template, ours(101, "stopped"), pool=room(free=10))
    for wanted in ({"name": "a"}, {"name": "a", "clone": "base"}, {"name": "vm101"}):
        said = problems(there, {**wanted, **keys})
        name = wanted["name"]
        assert f"{name} is to have {slot} on gone, which node01 does not have for disks" in said


@pytest.mark.parametrize(
    ("slot", "text"),
    [
        ("efidisk0", "pool:vm-101-disk-1,efitype=4m,size=4M"),
        ("tpmstate0", "pool:vm-101-disk-1,size=4M,version=v2.0"),
        ("ide1", "pool:vm-101-cloudinit,media=cdrom"),
        ("scsi0", "pool:vm-101-disk-1,size=8G"),
    ],
)
def test_whatever_moves_to_another_node_needs_its_storage_there(slot: str, text: str) -> None:
    other = replace(room(free=10), name="other")
    there = world(ours(101, "stopped", memory="1024", **{slot: text}), pool=room(free=10))
    there = replace(there, storages={**there.storages, "node02": (other,)})
    said = problems(there, {"name": "vm101", "target_node": "node02"})
    asks = f"vm101 is to have {slot} on pool, which node02 does not have for disks (it has other)"
    assert asks in said


def test_a_disk_on_a_shared_storage_takes_no_room_when_its_vm_moves() -> None:
    old = ours(101, "stopped", memory="1024", scsi0="pool:vm-101-disk-1,size=20G")
    moved = {"name": "vm101", "target_node": "node02"}
    assert problems(world(old, pool=room(free=10, shared=True)), moved) == ""
    assert "asks for 20 GiB" in problems(world(old, pool=room(free=10)), moved)


def test_a_disk_that_a_clone_only_gives_options_is_counted_once() -> None:
    template = {"vmid": 900, "node": "node01", "name": "base", "template": True}
    template["config"] = {"name": "base", "scsi0": "pool:base-900-disk-0,size=3G"}
    clone = {"name": "a", "clone": "base", "full_clone": True}
    wanted = {**clone, "disks": [{**disk("20G"), "discard": True}]}
    assert problems(world(template, pool=room(free=20)), wanted) == ""
    assert "asks for 20 GiB" in problems(world(template, pool=room(free=19)), wanted)


def test_a_disk_that_grows_beyond_its_storage_is_too_large() -> None:
    old = ours(101, "stopped", memory="1024", scsi0="pool:vm-101-disk-0,size=20G")
    grown = {"name": "vm101", "disks": [disk("101G")]}
    said = problems(world(old, pool=room(free=90, thin=True)), grown)
    assert said.startswith("vms/vm101.yaml:1: vm101 asks for a disk of 101G on pool")
