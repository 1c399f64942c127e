"""What a plan does to a VM, each difference classified: for machines, reviewers and statistics."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from stackyard.definitions.model import Disk
from stackyard.plan.text import change_words, is_told, sentence, step_words, waiting_words
from stackyard.plan.values import (
    Action,
    Change,
    Configure,
    Delete,
    Erase,
    Grow,
    MakeTemplate,
    ManageHa,
    Migrate,
    MoveDisk,
    Reboot,
    Shutdown,
    Start,
    Step,
    Unlock,
)

Kind = Literal[
    "create",  # made, or a half-made VM finished
    "replace",  # destroyed with its disks and made anew
    "remove",  # destroyed with its disks
    "in-place",  # takes effect at once
    "reboot",  # takes effect with the reboot of the plan
    "restart-later",  # waits for a restart that automatic_reboot: false leaves to the user
    "pending",  # was written before and waits for a restart
    "grow-disk",
    "move-disk",
    "detach-disk",  # leaves its slot, kept as an unused disk
    "erase-disk",  # leaves its slot and is deleted
    "migrate",
    "high-availability",  # a resource made, changed or removed; its state is the VM's power
    "power",
    "template",
]


@dataclass(frozen=True, slots=True)
class Effect:
    """One difference: its class, the key or slot it is about (or none), and a text for people."""

    kind: Kind
    key: str
    text: str


def effects_of(action: Action) -> tuple[Effect, ...]:
    """Classify all that an action does."""
    if action.verb == "update":
        steps = (effect for step in action.steps for effect in _of_step(step))
        return (*effects_of_waiting(action.waiting), *steps)
    kind: Kind = "create"
    if action.verb == "replace":
        kind = "replace"
    elif action.verb == "destroy":
        kind = "remove"
    return (Effect(kind, "", sentence(action)),)


def effects_of_waiting(keys: Iterable[str]) -> tuple[Effect, ...]:
    """Classify what was written before and waits for a restart."""
    return tuple(Effect("pending", key, waiting_words(key)) for key in keys)


_KINDS: dict[type[Step], Kind] = {
    Grow: "grow-disk",
    MoveDisk: "move-disk",
    Erase: "erase-disk",
    Migrate: "migrate",
    ManageHa: "high-availability",
    Start: "power",
    Shutdown: "power",
    Reboot: "power",
    MakeTemplate: "template",
    Unlock: "remove",
    Delete: "remove",
}


def _of_step(step: Step) -> Iterator[Effect]:
    if isinstance(step, Configure):
        for change in filter(is_told, step.changes):
            yield Effect(_of_change(change), change.key, change_words(change))
        return
    key = step.slot if isinstance(step, Grow | MoveDisk | Erase) else ""
    for words in step_words(step):
        yield Effect(_KINDS[type(step)], key, words)


def _of_change(change: Change) -> Kind:
    if change.after is None and isinstance(change.before, Disk) and change.before.media == "disk":
        return "detach-disk"
    if change.when == "now":
        return "in-place"
    return "reboot" if change.when == "restart" else "restart-later"
