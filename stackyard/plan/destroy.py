"""The removal of a VM with its disks, and the plan that is nothing else."""

from collections.abc import Iterable

from stackyard.definitions.model import Definition
from stackyard.plan.checks import not_ours, several
from stackyard.plan.errors import PlanError
from stackyard.plan.observed import Config, Observed, ObservedVm
from stackyard.plan.values import Action, Delete, Plan, Shutdown, Step, Unlock
from stackyard.plan.waves import addresses_of


def plan_destroy(name: str, definitions: Iterable[Definition], observed: Observed) -> Plan:
    """Plan the removal of one VM and its disks.

    Raises:
        PlanError: there is none of that name, it is not ours, or it is not managed or protected.
    """
    fleet = [definition for definition in definitions if definition.name == name]
    for definition in fleet:
        if not definition.managed:
            raise PlanError(
                f"{definition.source.at('managed')}: {name} is not managed: not touched"
            )
    vm = _the_one(name, observed)
    if vm in observed.away:
        raise PlanError(f"{name} is VM {vm.vmid} on {vm.node}, which does not answer")
    if is_protected(vm) or any(definition.protection for definition in fleet):
        off = "set protection: false and apply that" if fleet else "take that off in Proxmox"
        raise PlanError(f"{name} (VM {vm.vmid} on {vm.node}) is protected: {off} first")
    return Plan(waves=((removal_of(vm),),))


def removal_of(vm: ObservedVm) -> Action:
    """Return the action that removes a VM that is there."""
    config = vm.config or Config()
    return Action(
        name=vm.name or str(vm.vmid),
        node=vm.node,
        vmid=vm.vmid,
        verb="destroy",
        steps=removal_steps(vm),
        about="with all its disks",
        digest=config.digest,
        fingerprint=config.fingerprint,
        status=vm.status,
        frees=addresses_of_vm(vm),
    )


def addresses_of_vm(vm: ObservedVm) -> tuple[str, ...]:
    """Return the addresses that nobody has once the VM is removed; a template uses none."""
    configs = vm.config.ipconfigs() if vm.config and not vm.template else {}
    given = {a for value in configs.values() for a in addresses_of(value)}
    return tuple(sorted(given | vm.kept_addresses))


def removal_steps(vm: ObservedVm) -> tuple[Step, ...]:
    """Return what removes a VM; Proxmox refuses to remove one that runs or is locked."""
    if vm.abandoned:
        return (Unlock(str(vm.lock)), Delete())
    return (Shutdown(), Delete()) if vm.status == "running" else (Delete(),)


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


def is_protected(vm: ObservedVm) -> bool:
    """Tell whether Proxmox would refuse the removal."""
    return vm.config is not None and vm.config.values.get("protection") is True
