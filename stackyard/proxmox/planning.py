"""Observe and plan, for the command line and for a run: it reads, and loads nothing that writes."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from stackyard.definitions.model import Definition
from stackyard.fleet import Site
from stackyard.plan import TAG, Observed, ObservedVm, Plan, make_plan, plan_destroy
from stackyard.plan.capacity import capacity_notes, capacity_problems, nodes_that_allocate
from stackyard.plan.consent import NOTHING, Consent
from stackyard.plan.errors import PlanError
from stackyard.plan.images import image_problems
from stackyard.plan.make import select
from stackyard.plan.privileges import root_only
from stackyard.plan.sharing import Shared, shared_addresses, takes_addresses
from stackyard.proxmox.client import Client
from stackyard.proxmox.observe import Scope, observe, observe_rest, observe_scope
from stackyard.proxmox.sight import check_sight
from stackyard.proxmox.storages import observe_shared, observe_storages


def plan_fleet(
    client: Client,
    definitions: Iterable[Definition],
    site: Site,
    limit: str | None = None,
    consent: Consent = NOTHING,
) -> tuple[Plan, Observed]:
    """Observe and plan; reads only. What nodes and storages have no room for is a problem.

    Storages are only asked where the plan puts something on them, and which of them are shared
    where a VM is to move to another node.

    Raises:
        ProxmoxError, PlanError: see `observe`, `check_sight` and `make_plan`.
    """
    fleet = tuple(definitions)
    scope = Scope(limit, also=_orphans(fleet, consent), replaced=consent.replace)
    observed = observe_scope(client, fleet, site, scope)
    check_sight(client, observed)
    if _moves(fleet, observed, limit):
        observed = observe_shared(client, observed)
    plan = make_plan(fleet, observed, site, limit, consent)
    nodes = nodes_that_allocate(plan, observed)
    if nodes:
        observed = observe_storages(client, observed, nodes)
    shared = Shared()
    if takes_addresses(plan):
        shared = shared_addresses(plan, fleet, observe_rest(client, observed))
    refused = () if client.settings.is_root else root_only(fleet, plan)
    capacity = capacity_problems(plan, fleet, observed)
    images = image_problems(plan, fleet, observed)
    problems = (*plan.problems, *refused, *capacity, *images, *shared.problems)
    notes = (*plan.notes, *capacity_notes(plan, observed), *shared.notes)
    return replace(plan, problems=problems, notes=notes), observed


def _moves(fleet: tuple[Definition, ...], observed: Observed, limit: str | None) -> bool:
    """Tell whether any of the VMs is on another node than it is wanted on."""
    wanted = ((vm, d) for d in select(fleet, limit) for vm in observed.ours(d.name))
    return any(vm.node != definition.target_node for vm, definition in wanted)


def _orphans(fleet: tuple[Definition, ...], consent: Consent) -> Callable[[ObservedVm], bool]:
    """Pick what may have to be removed: its protection and its digest stand in what is read."""
    known = {definition.name for definition in fleet}
    return lambda vm: consent.prune and TAG in vm.tags and vm.name not in known


def plan_removal(
    client: Client, name: str, definitions: Iterable[Definition], site: Site
) -> tuple[Plan, Observed]:
    """Observe one VM and plan its removal; reads only.

    While it is being made it has no name: its definition tells which VMID it gets, and so what to
    wait for.

    Raises:
        ProxmoxError, PlanError: see `observe`, `check_sight` and `plan_destroy`.
    """
    fleet = tuple(definitions)
    is_defined = any(vm.name == name and vm.managed for vm in fleet)
    try:
        known, limit = (fleet, name) if is_defined else ((), None)
        observed = observe(client, known, site, limit, names=(name,))
    except PlanError:  # no VMID is left for another one, which is no reason to keep this one
        observed = observe(client, (), site, names=(name,))
    check_sight(client, observed)
    plan = plan_destroy(name, fleet, observed)
    refused = () if client.settings.is_root else root_only(fleet, plan)
    return replace(plan, problems=refused), observed
