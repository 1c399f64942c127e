"""What holds for every plan: it comes true, survives a kill at any step, and survives JSON."""

from dataclasses import replace

import yaml
from definition_strategies import Plain, documents
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_world import SITE, after

from stackyard.definitions.load import parse_vm
from stackyard.definitions.model import Definition, Disk, IpConfig, Nic, Source
from stackyard.plan import Config, Observed, ObservedVm, from_json, make_plan, render_text, to_json
from stackyard.plan.consent import NOTHING, Consent
from stackyard.plan.values import Erase, Plan, Value

GIB = 1 << 30
NODES = ("node01", "node02")

maybe_flag = st.none() | st.booleans()
data_disks = st.builds(
    Disk,
    slot=st.sampled_from(["scsi0", "scsi1", "virtio0", "sata3"]),
    media=st.just("disk"),
    storage=st.sampled_from(["data2", "fast"]),
    size_bytes=st.integers(4, 64).map(lambda gib: gib * GIB),
    discard=maybe_flag,
    ssd=maybe_flag,
    backup=maybe_flag,
).map(lambda disk: replace(disk, ssd=None) if disk.slot.startswith("virtio") else disk)
drives = st.builds(
    Disk,
    slot=st.sampled_from(["ide1", "ide2"]),
    media=st.just("cloudinit"),
    storage=st.just("data2"),
) | st.builds(Disk, slot=st.just("ide2"), media=st.just("iso"), volume=st.just("local:iso/a.iso"))
nics = st.builds(
    Nic,
    bridge=st.sampled_from(["vmbr0", "vmbr1"]),
    firewall=st.booleans(),
    vlan=st.none() | st.integers(1, 4094),
)
ipconfigs = st.builds(IpConfig, ip=st.integers(2, 9).map(lambda last: f"10.0.0.{last}/24"))


@st.composite
def definitions(draw: st.DrawFn, name: str = "vm") -> Definition:
    disks = {disk.slot: disk for disk in draw(st.lists(data_disks, max_size=3))}
    disks.update({disk.slot: disk for disk in draw(st.lists(drives, max_size=1))})
    return Definition(
        name=name,
        target_node="node01",
        source=Source(f"vms/{name}.yaml"),
        cores=draw(st.integers(1, 4)),
        memory_mib=draw(st.sampled_from([1024, 2048])),
        onboot=draw(st.booleans()),
        clone=draw(st.sampled_from([None, "template"])),
        full_clone=True,
        agent=draw(st.booleans()),
        vm_state=draw(st.sampled_from([None, "running", "stopped"])),
        automatic_reboot=draw(st.booleans()),
        disks=tuple(sorted(disks.values(), key=lambda disk: disk.slot)),
        networks=tuple(draw(st.lists(nics, max_size=2))),
        ipconfigs=tuple(draw(st.lists(st.none() | ipconfigs, max_size=2))),
        tags=tuple(sorted(draw(st.sets(st.sampled_from(["k8s", "lab", "web"]))))),
        description=draw(st.sampled_from([None, "a VM"])),
        serial=draw(st.booleans()),
        sshkeys=draw(st.sampled_from([None, "ssh-ed25519 AAAA me@host"])),
    )


@st.composite
def worlds(draw: st.DrawFn) -> Observed:
    slot = draw(st.sampled_from(["ide1", "ide2", None]))
    values: dict[str, Value] = {
        "name": "template",
        "memory": 1024,
        "cpu_type": "host",
        "tags": draw(st.sampled_from([(), ("cloud",)])),
        "scsi0": Disk("scsi0", "disk", storage="local", size_bytes=3 * GIB, volume="local:base-0"),
        "net0": Nic("vmbr0", mac="BC:24:11:00:00:00"),
    }
    if slot:
        values[slot] = Disk(slot, "cloudinit", storage=draw(st.sampled_from(["data2", "local"])))
    template = ObservedVm(9000, "node01", "template", template=True, config=Config("0", values))
    return Observed(dict.fromkeys(NODES, True), (template,))


def settled(wanted: list[Definition], observed: Observed, consent: Consent = NOTHING) -> Plan:
    return make_plan(wanted, observed, SITE, consent=consent)


@given(definitions(), worlds())
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(
    wanted: Definition, world: Observed
) -> None:
    plan = settled([wanted], world)
    if plan.problems:
        return
    then = settled([wanted], after(plan, world))
    assert then.is_empty, render_text(then)


@settings(max_examples=200)
@given(definitions(), definitions(), worlds(), st.integers(0, 8), st.integers(0, 8))
def test_kills_at_any_step_are_made_good_by_the_next_run(
    first: Definition, second: Definition, world: Observed, kill: int, kill_again: int
) -> None:
    second = replace(second, target_node=NODES[kill_again % 2])  # perhaps it moves
    for wanted, steps in ((first, kill), (first, kill_again), (first, 99), (second, kill)):
        plan = settled([wanted], world)
        if plan.problems:
            return
        world = after(plan, world, steps)
    plan = settled([second], world)
    if plan.problems:
        return
    world = after(plan, world)
    then = settled([second], world)
    assert then.is_empty, render_text(then)
    assert [vm.name for vm in world.vms if vm.vmid != 9000] == ["vm"]


@given(definitions(), worlds())
def test_a_definition_without_a_wish_leaves_what_is_there(
    wanted: Definition, world: Observed
) -> None:
    plan = settled([wanted], world)
    if plan.problems:
        return
    there = after(plan, world)
    silent = replace(wanted, disks=(), networks=(), ipconfigs=(), sshkeys=None, vm_state=None)
    assert settled([silent], there).waves == ()


consents = st.builds(
    Consent, prune=st.booleans(), extra=st.sampled_from(["keep", "detach", "erase"])
)


@given(definitions(), definitions(), worlds(), st.tuples(consents, st.sampled_from(NODES)))
def test_what_was_agreed_to_is_done_once(
    first: Definition,
    second: Definition,
    world: Observed,
    agreed: tuple[Consent, str],
) -> None:
    consent, node = agreed
    replaced = node == "node01" and consent.prune
    plan = settled([first], world)
    if plan.problems:
        return
    there = after(plan, world)
    second = replace(second, target_node=node)
    once = replace(consent, replace=frozenset(["vm"] if replaced else []))
    plan = settled([second], there, once)
    if plan.problems:
        assert not replaced or settled([second], world).problems  # what stands against any new one
        return
    lost = {
        step.slot for action in plan.actions for step in action.steps if isinstance(step, Erase)
    }
    assert not lost or consent.extra == "erase"
    assert from_json(to_json(plan)) == plan
    then = settled([second], after(plan, there), consent)
    assert then.is_empty, render_text(then)


@given(definitions("a"), definitions("b"), worlds(), st.integers(0, 6))
def test_a_plan_is_the_same_after_a_trip_through_json(
    one: Definition, other: Definition, world: Observed, kill: int
) -> None:
    first = settled([one, other], world)
    assert from_json(to_json(first)) == first
    if not first.problems:
        second = settled([replace(one, cores=8, agent=True), other], after(first, world, kill))
        assert from_json(to_json(second)) == second


@given(st.lists(st.text("abcdef", min_size=1, max_size=4), unique=True, max_size=12), st.data())
def test_vmids_are_unique_and_do_not_depend_on_what_is_already_made(
    names: list[str], data: st.DataObject
) -> None:
    site = replace(SITE, vmid_range=range(100, 100 + max(len(names), 1)))
    wanted = [Definition(name, "node01", Source("x")) for name in names]
    nowhere = Observed({"node01": True})
    plan = make_plan(wanted, nowhere, site)
    vmids = {action.name: action.vmid for action in plan.actions}
    assert len(set(vmids.values())) == len(names)

    made = data.draw(st.sets(st.sampled_from(names))) if names else set()
    partly = after(
        replace(plan, waves=(tuple(a for a in plan.actions if a.name in made),)), nowhere
    )
    rest = make_plan(wanted, partly, site)
    assert {a.name: a.vmid for a in rest.actions} == {
        name: vmid for name, vmid in vmids.items() if name not in made
    }


@settings(max_examples=40)
@given(documents())
def test_any_definition_made_from_nothing_leaves_nothing_to_do(document: Plain) -> None:
    parsed = parse_vm(yaml.safe_dump(document))
    wanted = replace(parsed, managed=True, clone=None, vmid=None)
    nothing = Observed(dict.fromkeys(NODES, True))
    plan = settled([wanted], nothing)
    assert not plan.problems
    assert from_json(to_json(plan)) == plan
    then = settled([wanted], after(plan, nothing))
    assert then.is_empty, render_text(then)
