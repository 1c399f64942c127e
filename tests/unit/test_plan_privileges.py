"""What only root itself may do is a problem of the plan for everybody else, each with its place."""

from typing import Any

import pytest
from plan_world import SITE, definition_of, observed_of

from stackyard.plan import make_plan
from stackyard.plan.privileges import root_only

CONFIG: dict[str, Any] = {"name": "a", "tags": "stackyard", "cpu": "host", "onboot": 1}
CONFIG |= {"memory": "1024", "args": "-foo", "hostpci1": "host=0000:02:00.0"}


def refused(**keys: Any) -> tuple[str, ...]:
    vm = {"vmid": 101, "node": "node01", "name": "a", "config": CONFIG}
    observed = observed_of({"nodes": {"node01": True}, "vms": [vm]})
    fleet = (definition_of({"name": "a", "target_node": "node01", **keys}),)
    return root_only(fleet, make_plan(fleet, observed, SITE))


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"args": "-bar"}, "Proxmox takes args from root@pam itself alone"),
        ({"args": ""}, "Proxmox takes args from root@pam itself alone"),
        ({"affinity": "0-3"}, "Proxmox takes affinity"),
        ({"hookscript": "local:snippets/a.pl"}, "Proxmox takes hookscript"),
        ({"hugepages": "any"}, "Proxmox takes hugepages"),
        ({"devices": {"hostpci0": {"host": "0000:01:00.0"}}}, "hostpci0 is a device of the node"),
        ({"devices": {"usb0": {"host": "1-2"}}}, "usb0 is a device of the node"),
        ({"serials": ("/dev/ttyS0",)}, "serial0 is a device of the node"),
        (
            {"disks": [{"slot": "scsi1", "media": "passthrough", "volume": "/dev/sdb"}]},
            "scsi1 is a device of the node",
        ),
        (
            {
                "disks": [
                    {"slot": "scsi1", "media": "disk", "storage": "a", "import_from": "/a.raw"}
                ]
            },
            "scsi1 is imported from a path",
        ),
    ],
)
def test_what_is_for_root_alone_is_named(keys: dict[str, Any], what: str) -> None:
    (problem,) = refused(**keys)
    assert problem.startswith(f"vms/a.yaml:1: a: {what}")
    assert "log in as root@pam" in problem


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"args": "-foo"},  # there already
        {"devices": {"hostpci0": {"mapping": "gpu"}}},
        {"devices": {"usb0": {"host": "spice"}}},
        {"serials": ("socket",)},
        {"ha": {"state": "started"}, "vm_state": "running"},
    ],
)
def test_what_a_token_may_is_no_problem(keys: dict[str, Any]) -> None:
    assert refused(**keys) == ()
