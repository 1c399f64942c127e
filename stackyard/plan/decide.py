"""What is decided about one definition: an action, or why there is none."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from stackyard.definitions.model import Definition
from stackyard.plan.about import about_new
from stackyard.plan.availability import power_steps
from stackyard.plan.checks import conflict, unmovable
from stackyard.plan.cloning import after_clone, clone_of
from stackyard.plan.desired import desired_values, is_empty
from stackyard.plan.destroy import addresses_of_vm, is_protected, removal_steps
from stackyard.plan.differ import Difference, compare
from stackyard.plan.observed import SNAPSHOT, TAG, UNCONFIGURED, Config, ObservedVm
from stackyard.plan.steps import (
    Stored,
    after_move,
    cold_slots,
    finish,
    move_of,
    restart_is_due,
    stays_running,
    steps_after_restart,
    steps_of_existing,
    steps_of_new,
)
from stackyard.plan.templates import several_templates, template_for
from stackyard.plan.text import step_words
from stackyard.plan.values import Action, Change, Create, Step, Verb, Waiting
from stackyard.plan.world import World


@dataclass(frozen=True, slots=True)
class Decision:
    """An action, or problems; and notes."""

    action: Action | None = None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    waiting: Waiting | None = None


@dataclass(frozen=True, slots=True)
class _Making:
    """The steps that make a VM from nothing, or what stands against them."""

    steps: tuple[Step, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def decide(definition: Definition, world: World) -> Decision:
    """Decide what is to be done about one VM.

    Raises:
        PlanError: a reference was not resolved.
    """
    vmid = world.vmids[definition.name]
    problem = conflict(definition, world.observed, vmid, world.freed)
    if problem:
        key, said = problem
        return Decision(problems=(f"{definition.source.at(key)}: {said}",))
    left = next((vm for vm in world.observed.numbered(vmid) if vm.is_leftover), None)
    if left:
        about = f"remove what a broken-off {left.lock} left as VM {vmid} on {left.node}"
        return _made_anew(definition, left, world, about)
    ours = world.observed.ours(definition.name)
    if not ours:
        return _new(definition, world)
    if definition.name in world.consent.replace:
        return _replaced(definition, ours[0], world)
    return _existing(definition, ours[0], world)


def _existing(definition: Definition, vm: ObservedVm, world: World) -> Decision:
    config, consent = vm.config or Config(), world.consent
    move = move_of(definition, vm, world.observed.shared_storages)
    if move:
        config = after_move(config, move, world.observed.file_storages)
    difference = compare(definition, config, extra=consent.extra)
    problems = [*_problems(definition, difference), *_cold_only(definition, difference, vm)]
    problems += unmovable(definition, vm)
    problems += _moves_while_waiting(definition, difference, vm, config)
    problems += _kept_by_snapshot(definition, vm, config)
    if is_protected(vm) and not vm.is_half_made and not consent.only_asks:
        problems += _held_by_protection(definition, difference)
    if problems:
        return Decision(problems=tuple(problems))
    is_left = _is_restart_left(definition, difference, vm, config)
    notes = _notes(definition, difference, config, is_left)
    if vm.is_half_made:
        steps = steps_of_new(definition, difference, config, vm, move)
        about = f"finish on {definition.target_node} as {vm.vmid}, {about_new(definition, ())}"
        return Decision(_action(definition, vm, "finish", steps, about), notes=notes)
    steps = steps_of_existing(definition, difference, vm, config, move)
    if not steps:
        waiting = Waiting(definition.name, difference.waiting) if is_left else None
        return Decision(notes=notes, waiting=waiting)
    about = f"VM {vm.vmid} on {vm.node}"
    action = _action(definition, vm, "update", steps, about)
    return Decision(replace(action, waiting=difference.waiting), notes=notes)


def _replaced(definition: Definition, vm: ObservedVm, world: World) -> Decision:
    if is_protected(vm):
        problem = (
            f"{definition.source.at()}: {definition.name} (VM {vm.vmid} on {vm.node}) is protected "
            "and cannot be replaced: set protection: false and apply that first"
        )
        return Decision(problems=(problem,))
    about = f"destroy VM {vm.vmid} on {vm.node} with all its disks"
    return _made_anew(definition, vm, world, about)


def _made_anew(definition: Definition, vm: ObservedVm, world: World, removal: str) -> Decision:
    making = _making(definition, world)
    if making.problems:
        return Decision(problems=making.problems)
    steps = [*removal_steps(vm), *making.steps]
    new = about_new(definition, making.steps)
    about = f"{removal}, make it anew on {definition.target_node}, {new}"
    return Decision(_action(definition, vm, "replace", steps, about), notes=making.notes)


def _new(definition: Definition, world: World) -> Decision:
    making = _making(definition, world)
    if making.problems:
        return Decision(problems=making.problems)
    node, vmid = definition.target_node, world.vmids[definition.name]
    about = f"create on {node} as {vmid}, {about_new(definition, making.steps)}"
    action = Action(definition.name, node, vmid, "create", making.steps, about)
    return Decision(action, notes=making.notes)


def _action(
    definition: Definition, vm: ObservedVm, verb: Verb, steps: list[Step], about: str
) -> Action:
    """Return an action on a VM that is there."""
    config = vm.config or Config()
    return Action(
        name=definition.name,
        node=vm.node,
        vmid=vm.vmid,
        verb=verb,
        steps=tuple(steps),
        about=about,
        digest=config.digest,
        fingerprint=config.fingerprint,
        status=vm.status,
        target=definition.target_node if definition.target_node != vm.node else None,
        frees=addresses_of_vm(vm) if verb == "replace" else (),
    )


def _making(definition: Definition, world: World) -> _Making:
    if definition.clone is not None:
        return _from_template(definition, world, definition.clone)
    difference = compare(definition, Config())
    problems = _problems(definition, difference)
    if problems:
        return _Making(problems=tuple(problems))
    values = desired_values(definition)
    values["tags"] = tuple(sorted({*definition.tags, TAG, UNCONFIGURED}))
    said = {key: value for key, value in values.items() if not is_empty(value)}
    create = Create(tuple(Change(key, None, value) for key, value in said.items()))
    return _Making(
        (create, *difference.grows, *finish(definition, power_steps(definition, None, "stopped")))
    )


def _from_template(definition: Definition, world: World, name: str) -> _Making:
    found = template_for(definition, name, world)
    if isinstance(found, str):
        return _Making(problems=(f"{definition.source.at('clone')}: {definition.name}: {found}",))
    clone = clone_of(found, definition)
    config = after_clone(found.config or Config(), clone, definition.name)
    extra = world.consent.extra
    difference = compare(definition, config, "full" if clone.full else "linked", extra)
    problems = _problems(definition, difference)
    if problems:
        return _Making(problems=tuple(problems))
    notes = (*several_templates(found, world), *difference.notes)
    notes = tuple(f"{definition.name}: {note}" for note in notes)
    return _Making((clone, *steps_of_new(definition, difference, config)), notes=notes)


def _problems(definition: Definition, difference: Difference) -> list[str]:
    at, name = definition.source.at, definition.name
    return [f"{at(key)}: {name}: {problem}" for key, problem in difference.problems]


def _cold_only(definition: Definition, difference: Difference, vm: ObservedVm) -> Iterator[str]:
    if difference.released and stays_running(definition, vm):
        slot = difference.released[0].key
        yield (
            f"{definition.source.at(slot)}: the cloud-init drive of the running {definition.name} "
            f"cannot leave {slot}: shut the VM down and apply again"
        )


def _moves_while_waiting(
    definition: Definition, difference: Difference, vm: ObservedVm, config: Config
) -> Iterator[str]:
    """What waits names the disk's volume, which a move to another node gives another name."""
    if vm.node == definition.target_node:
        return
    back = {*definition.devices, *(disk.slot for disk in definition.disks)}
    waits = back & {key for key, there in config.leaving().items() if isinstance(there, Stored)}
    if stays_running(definition, vm):
        waits |= cold_slots(difference, config) & config.disks().keys()
    for slot in sorted(waits):
        yield (
            f"{definition.source.at(slot)}: a change of {slot} waits for a restart of "
            f"{definition.name}, which cannot move from {vm.node} to {definition.target_node} "
            "before: do one after the other"
        )


def _kept_by_snapshot(definition: Definition, vm: ObservedVm, config: Config) -> Iterator[str]:
    """Proxmox refuses it last: a running VM would be shut down for nothing."""
    if definition.template and not vm.template and SNAPSHOT in config.values:
        yield (
            f"{definition.source.at('template')}: {definition.name} has snapshots, the last one "
            f"{config.values[SNAPSHOT]}, and no such VM becomes a template: remove them first"
        )


def _held_by_protection(definition: Definition, difference: Difference) -> Iterator[str]:
    for slot in difference.leaving:
        yield (
            f"{definition.source.at(slot)}: {slot} cannot leave {definition.name}, which is "
            "protected: set protection: false and apply that first"
        )


def _is_restart_left(
    definition: Definition, difference: Difference, vm: ObservedVm, config: Config
) -> bool:
    """Tell whether a restart is due that the definition leaves to the user."""
    stays = stays_running(definition, vm)
    return stays and not definition.automatic_reboot and restart_is_due(difference, config)


def _notes(
    definition: Definition, difference: Difference, config: Config, is_left: bool
) -> tuple[str, ...]:
    notes = list(difference.notes)
    if is_left:
        notes.append("changes wait for a restart, which automatic_reboot: false leaves to you")
        later = (w for step in steps_after_restart(difference, config) for w in step_words(step))
        notes += [f"{words}: only once it has restarted" for words in later]
    return tuple(f"{definition.name}: {note}" for note in notes)
