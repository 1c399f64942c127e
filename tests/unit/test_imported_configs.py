"""VMs as people have them are imported as they are: the plan after it is empty."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from definition_strategies import documents
from hypothesis import given, settings
from plan_world import SITE, after, observed_of

from stackyard.definitions.load import parse_vm
from stackyard.plan import Observed, make_plan, render_text
from stackyard.plan.written import definition_keys
from stackyard.proxmox.adopt import with_tag

CONFIGS: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "cases" / "imported.yaml").read_text()
)


@pytest.mark.parametrize("what", CONFIGS)
def test_an_odd_vm_is_imported_as_it_is(what: str) -> None:
    config = CONFIGS[what]
    there = {"vmid": 100, "node": "node01", "name": config["name"], "status": "running"}
    observed = observed_of({"nodes": {"node01": True}, "vms": [{**there, "config": config}]})
    vm = with_tag(observed.vms[0])

    written = definition_keys(vm)
    definition = parse_vm(yaml.safe_dump(written.keys, sort_keys=False, allow_unicode=True))

    plan = make_plan((definition,), Observed({"node01": True}, (vm,)), SITE)
    assert plan.is_empty, render_text(plan)


def test_what_a_definition_cannot_say_is_told_and_left() -> None:
    config = {"name": "vm", "tags": "stackyard", "ciuser": "two words", "boot": "order="}
    there = {"vmid": 100, "node": "node01", "name": "vm", "config": config}
    observed = observed_of({"nodes": {"node01": True}, "vms": [there]})

    written = definition_keys(observed.vms[0])

    assert not {"ciuser", "boot"} & written.keys.keys()
    assert sorted(note.split()[0] for note in written.notes) == ["boot", "ciuser"]
    definition = parse_vm(yaml.safe_dump(written.keys))
    assert make_plan((definition,), observed, SITE).is_empty


@pytest.mark.parametrize(
    "odd",
    [
        {"ipconfig0": "gw=10.0.0.1,ip=dhcp"},
        {"ipconfig0": "gw=192.168.99.1,ip=10.0.0.2/24"},
        {"scsi0": "local-lvm:vm-100-disk-0,serial=%C3%BC,size=8G"},
        {"scsi1": "/dev/disk by/a,size=8G"},
        {"ide2": "/mnt/x.iso,media=cdrom"},
        {"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,trunks=9-5"},
        {"hostpci0": "0000:01:00.0,romfile=my rom.bin"},
        {"numa0": "cpus=3-1"},
    ],
    ids=str,
)
def test_a_part_that_a_definition_cannot_say_is_told_and_left(odd: dict[str, str]) -> None:
    config = {"name": "vm", "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0", **odd}
    there = {"vmid": 100, "node": "node01", "name": "vm", "config": config}
    observed = observed_of({"nodes": {"node01": True}, "vms": [there]})
    vm = with_tag(observed.vms[0])

    written = definition_keys(vm)

    (note,) = written.notes
    assert next(iter(odd)) in note
    definition = parse_vm(yaml.safe_dump(written.keys))
    plan = make_plan((definition,), Observed({"node01": True}, (vm,)), SITE)
    assert plan.is_empty, render_text(plan)


@pytest.mark.parametrize("inherited", [(), ("networks", "ipconfig1", "ipconfig2")])
def test_an_address_without_its_card_is_told_and_left(inherited: tuple[str, ...]) -> None:
    config = {"name": "vm", "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0"}
    config |= {"ipconfig0": "ip=dhcp", "ipconfig2": "ip=10.0.0.3/24"}
    there = {"vmid": 100, "node": "node01", "name": "vm", "config": config}
    observed = observed_of({"nodes": {"node01": True}, "vms": [there]})

    written = definition_keys(observed.vms[0], inherited)

    assert written.notes == ("ipconfig2 has no card",)
    assert written.keys["ipconfig0"] == "ip=dhcp"
    # Without its card the address of all other VMs would be a mistake.
    taken_back = {name for name, value in written.keys.items() if value is None}
    assert taken_back == {name for name in inherited if name != "networks"}


@settings(max_examples=60, deadline=None)
@given(documents())
def test_any_vm_that_was_made_from_a_definition_is_imported_as_it_is(
    document: dict[str, Any],
) -> None:
    wanted = parse_vm(yaml.safe_dump({**document, "managed": True, "clone": None, "vmid": None}))
    made = after(make_plan((wanted,), Observed({"node01": True}), SITE), Observed({"node01": True}))
    text = yaml.safe_dump(definition_keys(made.vms[0]).keys, allow_unicode=True)

    plan = make_plan((parse_vm(text),), made, SITE)
    assert plan.is_empty, render_text(plan)
