"""What is imported is as it was: a definition written from a VM makes an empty plan for it."""

from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from hypothesis import given, settings
from plan_world import SITE, after
from test_plan_properties import definitions, worlds

from stackyard.definitions.files import read_files
from stackyard.definitions.hardware import Ha
from stackyard.definitions.load import load_vms, parse_vm
from stackyard.definitions.model import Definition
from stackyard.plan import Observed, ObservedVm, make_plan, render_text
from stackyard.plan.observed import Config
from stackyard.plan.written import definition_keys

DEFAULTS = {
    "ciuser": "somebody",
    "full_clone": True,
    "numa": True,
    "tags": ["all"],
    "sshkeys": {"env": "KEYS"},
    "disks": [{"slot": "scsi5", "storage": "data2", "size": "1G"}],
    "networks": [{"bridge": "vmbr7"}, {"bridge": "vmbr8"}],
    "ipconfig0": "ip=10.9.9.9/24",
}


@settings(max_examples=60, deadline=None)
@given(definitions(), worlds())
def test_a_definition_that_was_written_from_a_vm_changes_nothing(
    wanted: Definition, world: Observed
) -> None:
    plan = make_plan([wanted], world, SITE)
    if plan.problems:
        return
    there = after(plan, world)
    vm = next(vm for vm in there.vms if vm.name == "vm")

    with TemporaryDirectory() as folder:
        keys = definition_keys(vm, DEFAULTS).keys
        Path(folder, "vm.yaml").write_text(yaml.safe_dump(keys, sort_keys=False))
        Path(folder, "_defaults.yaml").write_text(yaml.safe_dump(DEFAULTS))
        (written,) = load_vms(read_files(Path(folder)))

    then = make_plan([written], there, SITE)
    assert then.is_empty, render_text(then)


def test_a_template_keeps_a_resource_of_high_availability_that_no_definition_says() -> None:
    config = Config(values={"name": "base", "tags": ("stackyard",)})
    kept = Ha(state="stopped")
    vm = ObservedVm(
        900, "node01", "base", template=True, tags=("stackyard",), config=config, ha=kept
    )

    written = definition_keys(vm)

    assert "ha" not in written.keys
    assert written.notes == ("ha is for VMs that run, and this template has a resource",)
    definition = parse_vm(yaml.safe_dump(written.keys))
    assert make_plan([definition], Observed({"node01": True}, (vm,)), SITE).is_empty


def test_what_nothing_in_proxmox_tells_is_inherited() -> None:
    defaults = {
        "managed": False,
        "clone": "ubuntu24-template",
        "full_clone": True,
        "pool": "k8s",
        "automatic_reboot": False,
        "define_connection_info": False,
        "skip_ipv6": True,
        "groups": ["prod"],
        "variables": {"a": 1},
    }

    keys = definition_keys(ObservedVm(100, "node01", "vm"), defaults).keys

    inherited = {name: keys[name] for name in keys.keys() & defaults.keys()}
    assert inherited == {"managed": True, "clone": None, "pool": None}
