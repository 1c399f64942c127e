"""Desired and observed in, a plan out. Pure: the same input always makes the same plan.

What cannot be done is a problem of the plan, one sentence each, and a plan with problems is not
carried out. What is there without being wanted is a note: nothing is ever deleted by `make_plan`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from stackyard.definitions.model import Definition
from stackyard.fleet import Site
from stackyard.plan.about import about_new
from stackyard.plan.checks import conflict, missing_template
from stackyard.plan.cloning import after_clone, clone_of
from stackyard.plan.desired import desired_values
from stackyard.plan.differ import Difference, compare
from stackyard.plan.errors import PlanError
from stackyard.plan.observed import TAG, UNCONFIGURED, Config, Observed, ObservedVm
from stackyard.plan.steps import finish, restart_is_due, steps_of_existing, steps_of_new
from stackyard.plan.values import Action, Change, Create, Plan, Step
from stackyard.plan.vmids import assign_vmids
from stackyard.plan.waves import in_waves


@dataclass(frozen=True, slots=True)
class _Decision:
    action: Action | None = None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def make_plan(
    definitions: Iterable[Definition],
    observed: Observed,
    site: Site,
    limit: str | None = None,
) -> Plan:
    """Plan what makes the observed VMs the desired ones.

    `limit` is a shell pattern of VM names, or several with commas between them; VMIDs are assigned
    over the whole fleet all the same.

    Raises:
        PlanError: the pattern names no managed VM, no VMID is free, or a reference is unresolved.
    """
    fleet = tuple(definitions)
    vmids = assign_vmids(fleet, observed, site.vmid_range)
    selected = select(fleet, limit)
    decisions = [_decide(definition, observed, vmids[definition.name]) for definition in selected]
    notes = [note for decision in decisions for note in decision.notes]
    if limit is None:
        notes += _orphans(fleet, observed)
    return Plan(
        waves=in_waves([decision.action for decision in decisions if decision.action]),
        problems=tuple(problem for decision in decisions for problem in decision.problems),
        notes=tuple(notes),
        wanted=len(selected),
    )


def select(definitions: Iterable[Definition], limit: str | None) -> tuple[Definition, ...]:
    """Return the managed definitions whose names match, by name.

    Raises:
        PlanError: none does.
    """
    managed = sorted((d for d in definitions if d.managed), key=lambda d: d.name)
    if limit is None:
        return tuple(managed)
    patterns = [pattern.strip() for pattern in limit.split(",")]
    chosen = tuple(d for d in managed if any(fnmatchcase(d.name, p) for p in patterns))
    if not chosen:
        raise PlanError(f"no managed VM matches {limit!r}: compare it with the names in vms/")
    return chosen


def _decide(definition: Definition, observed: Observed, vmid: int) -> _Decision:
    problem = conflict(definition, observed, vmid)
    if problem:
        return _Decision(problems=(f"{definition.source.at()}: {problem}",))
    ours = observed.ours(definition.name)
    if ours:
        return _existing(definition, ours[0])
    if definition.clone is None:
        return _from_nothing(definition, vmid)
    return _from_template(definition, observed, vmid, definition.clone)


def _existing(definition: Definition, vm: ObservedVm) -> _Decision:
    config = vm.config or Config()
    difference = compare(definition, config)
    problems = [*_problems(definition, difference), *_cold_only(definition, difference, vm)]
    if problems:
        return _Decision(problems=tuple(problems))
    notes = _notes(definition, difference, vm, config)
    if vm.is_half_made:
        steps = steps_of_new(definition, difference, config)
        about = f"finish on {vm.node} as {vm.vmid}, {about_new(definition, ())}"
        action = Action(
            definition.name, vm.node, vm.vmid, "finish", tuple(steps), about, config.digest
        )
        return _Decision(action, notes=notes)
    steps = steps_of_existing(definition, difference, vm, config)
    if not steps:
        return _Decision(notes=notes)
    about = f"VM {vm.vmid} on {vm.node}"
    action = Action(definition.name, vm.node, vm.vmid, "update", tuple(steps), about, config.digest)
    return _Decision(action, notes=notes)


def _from_nothing(definition: Definition, vmid: int) -> _Decision:
    difference = compare(definition, Config())
    problems = _problems(definition, difference)
    if problems:
        return _Decision(problems=tuple(problems))
    values = desired_values(definition)
    values["tags"] = tuple(sorted({*definition.tags, TAG, UNCONFIGURED}))
    create = Create(tuple(Change(key, None, value) for key, value in values.items()))
    steps = [create, *difference.grows, *finish(definition, "stopped")]
    return _Decision(_new(definition, vmid, steps))


def _from_template(definition: Definition, observed: Observed, vmid: int, name: str) -> _Decision:
    node = definition.target_node
    template = observed.template(node, name)
    if template is None:
        problem = missing_template(name, node, observed)
        return _Decision(problems=(f"{definition.source.at('clone')}: {problem}",))
    clone = clone_of(template, definition)
    config = after_clone(template.config or Config(), clone, definition.name)
    difference = compare(definition, config, linked=not clone.full)
    problems = _problems(definition, difference)
    if problems:
        return _Decision(problems=tuple(problems))
    steps = [clone, *steps_of_new(definition, difference, config)]
    notes = tuple(f"{definition.name}: {note}" for note in difference.notes)
    return _Decision(_new(definition, vmid, steps), notes=notes)


def _new(definition: Definition, vmid: int, steps: list[Step]) -> Action:
    node = definition.target_node
    about = f"create on {node} as {vmid}, {about_new(definition, tuple(steps))}"
    return Action(definition.name, node, vmid, "create", tuple(steps), about)


def _problems(definition: Definition, difference: Difference) -> list[str]:
    at, name = definition.source.at, definition.name
    return [f"{at(key)}: {name}: {problem}" for key, problem in difference.problems]


def _cold_only(definition: Definition, difference: Difference, vm: ObservedVm) -> Iterator[str]:
    if difference.released and vm.status == "running" and definition.vm_state != "stopped":
        slot = difference.released[0].key
        yield (
            f"{definition.source.at(slot)}: the cloud-init drive of the running {definition.name} "
            f"cannot leave {slot}: shut the VM down and apply again"
        )


def _notes(
    definition: Definition, difference: Difference, vm: ObservedVm, config: Config
) -> tuple[str, ...]:
    notes = list(difference.notes)
    stays = vm.status == "running" and definition.vm_state != "stopped"
    if stays and not definition.automatic_reboot and restart_is_due(difference, config):
        notes.append("changes wait for a restart, which automatic_reboot: false leaves to you")
    return tuple(f"{definition.name}: {note}" for note in notes)


def _orphans(fleet: tuple[Definition, ...], observed: Observed) -> Iterator[str]:
    known = {definition.name for definition in fleet}
    for vm in sorted(observed.vms, key=lambda vm: vm.vmid):
        if TAG in vm.tags and vm.name not in known:
            yield (
                f"{vm.name} (VM {vm.vmid} on {vm.node}) is ours and has no definition: "
                f"`stackyard destroy {vm.name}` removes it"
            )
