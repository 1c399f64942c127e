"""Secrets that a plan names and does not hold: read from the environment when they are written."""

import os
from collections.abc import Iterator
from dataclasses import replace

from stackyard.definitions.model import Reference
from stackyard.plan.values import Change, Configure, Create, Plan
from stackyard.proxmox.errors import ProxmoxError


class MissingSecretError(ProxmoxError):
    """A plan names an environment variable that is not set."""


def check_references(plan: Plan) -> None:
    """Make sure, before anything is done, that every secret of the plan can be read.

    Raises:
        MissingSecretError: one cannot.
    """
    missing = [
        f"{change.key} of {name} comes from {change.after.env}, which is not set: export it first"
        for name, change in _changes(plan)
        if isinstance(change.after, Reference) and not os.environ.get(change.after.env)
    ]
    if missing:
        raise MissingSecretError("\n".join(missing))


def resolved(changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """Return the changes with the secrets themselves; they are to be written, and kept nowhere.

    Raises:
        MissingSecretError: a variable is not set.
    """
    return tuple(_resolved(change) for change in changes)


def _resolved(change: Change) -> Change:
    if not isinstance(change.after, Reference):
        return change
    secret = os.environ.get(change.after.env)
    if not secret:
        raise MissingSecretError(f"{change.key} comes from {change.after.env}, which is not set")
    return replace(change, after=secret)


def _changes(plan: Plan) -> Iterator[tuple[str, Change]]:
    for action in plan.actions:
        for step in action.steps:
            if isinstance(step, Configure | Create):
                yield from ((action.name, change) for change in step.changes)
