"""Desired and observed in, a plan out. Pure: the same input always makes the same plan.

What cannot be done is a problem of the plan, one sentence each, and a plan with problems is not
carried out. What is there without being wanted is a note, unless its removal was agreed to.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from stackyard.definitions.model import Definition
from stackyard.fleet import Site
from stackyard.plan.consent import NOTHING, Consent
from stackyard.plan.decide import decide
from stackyard.plan.errors import PlanError
from stackyard.plan.moved import identity
from stackyard.plan.observed import Observed
from stackyard.plan.prune import prune
from stackyard.plan.values import Plan
from stackyard.plan.vmids import assign_vmids
from stackyard.plan.waves import in_waves
from stackyard.plan.world import World


def make_plan(
    definitions: Iterable[Definition],
    observed: Observed,
    site: Site,
    limit: str | None = None,
    consent: Consent = NOTHING,
) -> Plan:
    """Plan what makes the observed VMs the desired ones.

    `limit` is a shell pattern of VM names, or several with commas between them; VMIDs are assigned
    over the whole fleet all the same, and nothing outside the limit is removed.

    Raises:
        PlanError: the pattern names no managed VM, no VMID is free, a reference is unresolved, or a
            name to replace is none of the VMs looked at.
    """
    fleet = tuple(definitions)
    vmids = assign_vmids(fleet, observed, site.vmid_range)
    selected = select(fleet, limit)
    _check_names(consent, selected)
    removal = prune(fleet, observed, consent.prune and limit is None)
    freed = frozenset(action.vmid for action in removal.actions)
    world = World(selected, observed, vmids, consent, freed)
    decisions = [decide(definition, world) for definition in selected]
    actions = [*removal.actions, *(d.action for d in decisions if d.action)]
    notes = [note for decision in decisions for note in decision.notes]
    return Plan(
        waves=in_waves(actions),
        problems=tuple(problem for decision in decisions for problem in decision.problems),
        notes=tuple(notes),
        orphans=removal.kept if limit is None else (),
        waiting=tuple(decision.waiting for decision in decisions if decision.waiting),
        blocked=tuple(
            definition.name
            for definition, decision in zip(selected, decisions, strict=True)
            if decision.problems
        ),
        wanted=len(selected),
        cluster=identity(observed),
    )


def select(definitions: Iterable[Definition], limit: str | None) -> tuple[Definition, ...]:
    """Return the managed definitions whose names match, by name.

    Raises:
        PlanError: a pattern matches none.
    """
    managed = sorted((d for d in definitions if d.managed), key=lambda d: d.name)
    if limit is None:
        return tuple(managed)
    patterns = [pattern for part in limit.split(",") if (pattern := part.strip())] or [limit]
    matched = {p: {d.name for d in managed if fnmatchcase(d.name, p)} for p in patterns}
    idle = " or ".join(repr(pattern) for pattern, names in matched.items() if not names)
    if idle:
        raise PlanError(f"no managed VM matches {idle}: compare it with the names in vms/")
    chosen = {name for names in matched.values() for name in names}
    return tuple(d for d in managed if d.name in chosen)


def _check_names(consent: Consent, selected: tuple[Definition, ...]) -> None:
    unknown = sorted(consent.replace - {definition.name for definition in selected})
    if unknown:
        raise PlanError(
            f"{', '.join(unknown)} cannot be replaced: no managed VM of that name is looked at"
        )
