"""Taking over a VM that somebody else made: find it, and give it our tag."""

from dataclasses import dataclass, replace

from stackyard.definitions.model import Definition
from stackyard.fleet import Site
from stackyard.plan import TAG, ObservedVm, PlanError, make_plan, render_text
from stackyard.plan.observed import Observed
from stackyard.plan.values import Change
from stackyard.proxmox import wire
from stackyard.proxmox.client import Client
from stackyard.proxmox.errors import ApiError, ProxmoxError
from stackyard.proxmox.ha import observe_ha
from stackyard.proxmox.observe import Scope, observe_scope
from stackyard.proxmox.pools import find_pool, in_pool
from stackyard.proxmox.sight import shows_pools

HIDDEN_POOL = "its pool, if any, is hidden from a token without Pool.Audit on /pool"


@dataclass(frozen=True, slots=True)
class Found:
    """The VM that is meant, the only one observed, and what of it could not be read."""

    observed: Observed
    notes: tuple[str, ...] = ()


def find_vm(client: Client, site: Site, name: str | None, vmid: int | None) -> Found:
    """Read one VM by its name or its VMID.

    Raises:
        PlanError: there is none, or several have the name.
        ProxmoxError: Proxmox refused or did not answer.
    """
    scope = Scope(also=lambda vm: _is_meant(vm, name, vmid))
    observed = observe_ha(client, observe_scope(client, (), site, scope))
    found = tuple(vm for vm in observed.vms if _is_meant(vm, name, vmid))
    what = f"VM {vmid}" if vmid is not None else f"VM named {name}"
    if not found:
        raise PlanError(f"there is no {what} on the nodes that answered")
    if len(found) > 1:
        places = ", ".join(f"{vm.vmid} on {vm.node}" for vm in found)
        raise PlanError(f"there are {len(found)} VMs named {name} ({places}): give one's --vmid")
    if not observed.nodes.get(found[0].node):
        raise PlanError(f"{what} is on {found[0].node}, which does not answer: bring it up first")
    if found[0].name is None:
        raise PlanError(f"{what} on {found[0].node} has no name: give it one first")
    pool = find_pool(client, found[0].vmid)
    notes = () if pool is not None or shows_pools(client) else (HIDDEN_POOL,)
    return Found(Observed(observed.nodes, (in_pool(found[0], pool),), observed.rooms), notes)


def _is_meant(vm: ObservedVm, name: str | None, vmid: int | None) -> bool:
    return vm.vmid == vmid if vmid is not None else vm.name == name


def check_adopted(definition: Definition, observed: Observed, site: Site) -> None:
    """Refuse a definition that would change the VM it was made from, the only one observed.

    Raises:
        PlanError: the plan would not be empty.
    """
    (vm,) = observed.vms
    adopted = replace(observed, vms=(with_tag(vm),))
    plan = make_plan((definition,), adopted, site)
    if not plan.is_empty:
        said = "; ".join(render_text(plan).splitlines()[:-1])
        raise PlanError(f"{vm.name} cannot be taken over as it is: {said}")


def with_tag(vm: ObservedVm) -> ObservedVm:
    """Return the VM as it is once it has our tag."""
    tags = tuple(sorted({*vm.tags, TAG}))
    config = vm.config and replace(vm.config, values={**vm.config.values, "tags": tags})
    return replace(vm, tags=tags, config=config)


class UnclearError(ProxmoxError):
    """Nobody knows whether a VM has our tag by now."""


def add_tag(client: Client, vm: ObservedVm) -> Change:
    """Give a VM our tag, if it is still the one that was read; return what was changed.

    Raises:
        UnclearError: it may have the tag or not.
        ProxmoxError: Proxmox refused, also because the VM has changed meanwhile.
    """
    change = Change("tags", vm.tags, with_tag(vm).tags)
    digest = vm.config.digest if vm.config else None
    path = f"/nodes/{vm.node}/qemu/{vm.vmid}/config"
    try:
        client.put(path, digest=digest, **wire.parameters((change,)))
    except ProxmoxError as error:
        if isinstance(error, ApiError) and error.is_refusal:
            raise
        if not _is_tagged(client, path, error):
            raise
    return change


def _is_tagged(client: Client, path: str, cause: ProxmoxError) -> bool:
    try:
        return TAG in wire.tags_of(client.get(path))
    except ProxmoxError as error:
        raise UnclearError(str(error)) from cause
