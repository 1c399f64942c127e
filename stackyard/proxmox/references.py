"""Secrets that a plan names and does not hold: read before it is carried out, and kept nowhere.

Who carries it out says how a place is read; the environment can be read by anybody.
"""

import os
from collections.abc import Callable
from dataclasses import replace

from stackyard.definitions.document import is_utf8
from stackyard.definitions.model import Reference, VaultReference
from stackyard.plan.values import Change, Configure, Create, Plan, Step
from stackyard.plan.waves import changes_of
from stackyard.proxmox.errors import ProxmoxError

Place = Reference | VaultReference
ReadSecret = Callable[[Place], str]


class MissingSecretError(ProxmoxError):
    """A plan names a secret that is not there."""


def from_environment(place: Place) -> str:
    """Read a secret out of an environment variable.

    Raises:
        MissingSecretError: it is not set or no text, or the secret is in another place.
    """
    if not isinstance(place, Reference):
        raise MissingSecretError(f"{place.vault} is in Vault, which is not read here")
    secret = os.environ.get(place.env)
    if not secret:
        raise MissingSecretError(f"{place.env}, which is not set: export it first")
    if not is_utf8(secret):
        raise MissingSecretError(f"{place.env}, which is not UTF-8 text")
    return secret


class Secrets:
    """The secrets of one plan, each read once, before anything is done."""

    def __init__(self, plan: Plan, read: ReadSecret) -> None:
        """Read them all.

        Raises:
            MissingSecretError: one is not there.
        """
        self._known: dict[Place, str] = {}
        named = (
            (change.after, f"{change.key} of {action.name}")
            for action in plan.actions
            for change in changes_of(action)
            if isinstance(change.after, Place)
        )
        for place, what in named:
            if place not in self._known:
                try:
                    self._known[place] = read(place)
                except MissingSecretError as error:
                    raise MissingSecretError(f"{what} comes from {error}") from None

    def put_in(self, step: Step) -> Step:
        """Return the step with the secrets themselves, to be carried out and not to be kept."""
        if not isinstance(step, Configure | Create):
            return step
        return replace(step, changes=tuple(self._filled(change) for change in step.changes))

    def _filled(self, change: Change) -> Change:
        if not isinstance(change.after, Place):
            return change
        return replace(change, after=self._known[change.after])
