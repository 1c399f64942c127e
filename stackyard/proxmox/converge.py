"""The whole way, for the command line and for a run: observe, plan, apply, and look again."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from stackyard.definitions.model import Definition
from stackyard.fleet import Site
from stackyard.plan import Observed, ObservedVm, Plan, make_plan, render_text
from stackyard.plan.errors import PlanError
from stackyard.plan.moved import check_cluster, left_alone, moved_since, with_digests
from stackyard.plan.values import ManageHa
from stackyard.proxmox.apply import Reached, Terms, apply_plan
from stackyard.proxmox.client import Client
from stackyard.proxmox.errors import ApiError, ProxmoxError
from stackyard.proxmox.ha import observe_ha
from stackyard.proxmox.observe import Scope, observe, observe_scope
from stackyard.proxmox.planning import plan_fleet
from stackyard.proxmox.rivals import with_fresh_vmids
from stackyard.proxmox.wire import identity_of, tags_of

_TAG_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was planned, what was reached, and what is there now."""

    plan: Plan
    reached: tuple[Reached, ...]
    observed: Observed  # nothing where nobody could look
    unseen: str = ""  # why not, or what the look found that stands against any plan
    moved: frozenset[str] = frozenset()  # VMs not as the plan found them, or that wait for such

    @property
    def failed(self) -> tuple[Reached, ...]:
        """The actions that did not come to their end, or did not have their effect."""
        return tuple(action for action in self.reached if action.error)


def apply_and_look(
    client: Client,
    plan: Plan,
    definitions: Iterable[Definition],
    site: Site,
    terms: Terms | None = None,
) -> Outcome:
    """Carry out a plan, then read again and tell what is there, whatever the steps said.

    A new VM whose VMID somebody else took meanwhile is given a fresh one. Where the second look
    fails, what the steps said is the outcome.

    Raises:
        PlanError: the plan has problems or names a secret that is not there; nothing was done.
    """
    fleet = tuple(definitions)
    terms = terms or Terms()
    reached = apply_plan(client, plan, terms)
    reached = with_fresh_vmids(client, reached, fleet, site, terms)
    try:
        return _look(client, plan, reached, fleet, site)
    except (PlanError, ProxmoxError) as error:
        return Outcome(plan, reached, Observed({}), f"nobody could look what is there now: {error}")


def _look(
    client: Client,
    plan: Plan,
    reached: tuple[Reached, ...],
    fleet: tuple[Definition, ...],
    site: Site,
) -> Outcome:
    names = {action.name for action in plan.actions}
    kept = {action.name for action in reached if action.verb != "destroy" and not action.error}
    concerned = tuple(d for d in fleet if d.name in kept and d.managed)
    read_back = {action.vmid: action.read_back for action in reached if action.read_back}
    scope = Scope(names=frozenset(names), read_back=read_back, patience=0)
    observed = observe_scope(client, concerned, site, scope)
    left = make_plan(concerned, observed, site)
    seen = tuple(_seen(action, observed, left) for action in reached)
    return Outcome(plan, seen, observed, unseen="; ".join(left.problems))


def apply_kept(client: Client, plan: Plan, site: Site, terms: Terms) -> Outcome:
    """Carry out a plan that was made before, but leave VMs alone that have moved since.

    Raises:
        ProxmoxError, PlanError: nothing was done, or the second look failed.
    """
    observed = observe(client, (), site, names={action.name for action in plan.actions})
    check_cluster(plan, observed)
    if any(isinstance(step, ManageHa) for action in plan.actions for step in action.steps):
        observed = observe_ha(client, observed)
    refused = moved_since(plan, observed)
    still = with_digests(plan, observed)
    outcome = apply_and_look(client, still, (), site, replace(terms, refused=refused))
    return replace(outcome, moved=left_alone(plan, refused))


def converge(
    client: Client,
    definitions: Iterable[Definition],
    site: Site,
    limit: str | None = None,
    terms: Terms | None = None,
) -> Outcome:
    """Make the real VMs the desired ones, without asking. Errors of single VMs are in the outcome.

    Raises:
        ProxmoxError, PlanError: no plan could be made, or it has problems; nothing was done.
    """
    fleet = tuple(definitions)
    plan, observed = plan_fleet(client, fleet, site, limit)
    if plan.is_empty:
        return Outcome(plan, (), observed)
    return apply_and_look(client, plan, fleet, site, terms)


def remove_tag(client: Client, vm: ObservedVm, tag: str) -> bool:
    """Take one tag off a VM; False where it had none, or another VM has its VMID by now.

    Other tags and other writers are respected.

    Raises:
        ProxmoxError: Proxmox refused, or others kept writing.
    """
    path = f"/nodes/{vm.node}/qemu/{vm.vmid}/config"
    for _ in range(_TAG_ATTEMPTS):
        config = client.get(path)
        tags = tags_of(config)
        is_another = vm.config is not None and vm.config.identity != identity_of(config)
        if tag not in tags or is_another:
            return False
        rest = ";".join(other for other in tags if other != tag)
        change = {"tags": rest} if rest else {"delete": "tags"}
        try:
            client.put(path, digest=config["digest"], **change)
        except ApiError as error:
            if not error.is_stale:
                raise
        else:
            return True
    raise ProxmoxError(
        f"VM {vm.vmid} on {vm.node} keeps changing: its tag {tag} could not be removed"
    )


def _seen(reached: Reached, observed: Observed, left: Plan) -> Reached:
    vm = next((vm for vm in observed.ours(reached.name) if vm.vmid == reached.vmid), None)
    away = next((v for v in observed.numbered(reached.vmid) if not observed.nodes[v.node]), None)
    if away is not None:
        state = "unknown"  # of the VMs of a node that does not answer only the VMIDs are sure
        reached = replace(reached, node=away.node)
    elif vm is None:
        state = "not there"
    else:
        state = "template" if vm.template else vm.status
        reached = replace(reached, node=vm.node)  # a move may have failed
    if reached.error:
        return replace(reached, state=state)
    rest = tuple(tuple(a for a in wave if a.name == reached.name) for wave in left.waves)
    waves = tuple(wave for wave in rest if wave)
    if waves or (reached.verb == "destroy" and vm is not None):
        missing = render_text(Plan(waves=waves)).splitlines()[0] if waves else "it is still there"
        return replace(reached, state=state, error=f"not as planned after all: {missing}")
    return replace(reached, state=state)
