"""What may be destroyed, and what may not."""

import pytest
from plan_world import after, definition_of, observed_of

from stackyard.plan import PlanError, plan_destroy, render_text

OURS = {"vmid": 101, "node": "node01", "name": "k8s-old", "status": "running"}
CONFIG = {"name": "k8s-old", "tags": "stackyard"}


def world(*vms: dict[str, object]) -> dict[str, object]:
    return {"nodes": {"node01": True, "node02": False}, "vms": list(vms)}


def test_a_running_vm_is_shut_down_first() -> None:
    observed = observed_of(world({**OURS, "config": CONFIG}))
    plan = plan_destroy("k8s-old", (), observed)
    assert render_text(plan).splitlines() == [
        "- k8s-old  destroy VM 101 on node01 with all its disks",
        "Plan: 1 to destroy, 0 as wanted.",
    ]
    assert after(plan, observed).vms == ()


@pytest.mark.parametrize(
    ("vms", "sentence"),
    [
        ([], "there is no VM named k8s-old on the nodes that answered (node02 did not)"),
        ([{**OURS, "config": {"name": "k8s-old"}}], "is not ours"),
        (
            [{**OURS, "config": {**CONFIG, "protection": 1}}],
            "is protected: take that off in Proxmox",
        ),
        ([{**OURS, "config": CONFIG}, {**OURS, "vmid": 5, "config": CONFIG}], "there are 2 VMs"),
    ],
)
def test_what_is_not_to_be_destroyed(vms: list[dict[str, object]], sentence: str) -> None:
    with pytest.raises(PlanError, match=sentence.replace("(", r"\(").replace(")", r"\)")):
        plan_destroy("k8s-old", (), observed_of(world(*vms)))


def test_a_definition_protects_too() -> None:
    wanted = definition_of({"name": "k8s-old", "target_node": "node01", "protection": True})
    with pytest.raises(PlanError, match="protected: set protection: false and apply that"):
        plan_destroy("k8s-old", (wanted,), observed_of(world({**OURS, "config": CONFIG})))


def test_a_vm_that_is_not_managed_is_not_touched() -> None:
    unmanaged = definition_of({"name": "k8s-old", "target_node": "node01", "managed": False})
    with pytest.raises(PlanError, match=r"k8s-old is not managed: not touched"):
        plan_destroy("k8s-old", (unmanaged,), observed_of(world({**OURS, "config": CONFIG})))
