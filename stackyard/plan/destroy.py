"""The plan that removes one VM: the only plan that deletes anything."""

from collections.abc import Iterable

from stackyard.definitions.model import Definition
from stackyard.plan.checks import not_ours, several
from stackyard.plan.errors import PlanError
from stackyard.plan.observed import Observed, ObservedVm
from stackyard.plan.values import Action, Delete, Plan, Shutdown, Step


def plan_destroy(name: str, definitions: Iterable[Definition], observed: Observed) -> Plan:
    """Plan the removal of one VM and its disks.

    Raises:
        PlanError: there is none of that name, it is not ours, or it is protected.
    """
    vm = _the_one(name, observed)
    if _is_protected(vm) or any(d.name == name and d.protection for d in definitions):
        raise PlanError(
            f"{name} (VM {vm.vmid} on {vm.node}) is protected: "
            "set protection: false and apply that first"
        )
    steps: tuple[Step, ...] = (Delete(),)
    if vm.status == "running":
        steps = (Shutdown(), Delete())
    digest = vm.config.digest if vm.config else None
    about = "with all its disks"
    action = Action(name, vm.node, vm.vmid, "destroy", steps, about, digest)
    return Plan(waves=((action,),), wanted=1)


def _the_one(name: str, observed: Observed) -> ObservedVm:
    ours = observed.ours(name)
    if len(ours) > 1:
        raise PlanError(several(name, ours))
    if ours:
        return ours[0]
    for vm in observed.named(name):
        raise PlanError(not_ours(vm, "it is not destroyed"))
    away = sorted(node for node, online in observed.nodes.items() if not online)
    where = f" ({', '.join(away)} did not)" if away else ""
    raise PlanError(f"there is no VM named {name} on the nodes that answered{where}")


def _is_protected(vm: ObservedVm) -> bool:
    return vm.config is not None and vm.config.values.get("protection") is True
