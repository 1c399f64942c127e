"""Making the kubeconfig in Vault and the one in a SOPS file agree.

The SOPS file remembers, encrypted and in Git, what both were when they last agreed. So it is known
which of them changed since; where both did, nothing is written.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from stackyard.kubeconfig import Kubeconfig, dump
from stackyard.stores.kubeconfigs import as_document
from stackyard.stores.protocol import Conflict, Store, StoreError
from stackyard.stores.retry import attempts
from stackyard.stores.sops import SopsStore
from stackyard.stores.sopsdiff import Change

AGREED = ("stackyard", "synced")
DEADLINE_SECONDS = 60.0


class SyncConflictError(StoreError):
    """Both sides changed since they last agreed."""

    exit_code = 5


class Side(StrEnum):
    """Whose document is taken."""

    STORE = "store"
    SOPS = "sops"


@dataclass(frozen=True, slots=True)
class Held:
    """What one side has: its text, and the document that this is."""

    version: str
    text: str | None = field(repr=False)
    document: Kubeconfig | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What both sides have, and whose document is to be taken; None where they agree."""

    store: Store
    sops: SopsStore
    held: Mapping[Side, Held]
    agreed: str | None
    taken: Side | None

    @property
    def remembered(self) -> bool:
        """Tell whether the file knows already what both are to have."""
        return self.agreed == _digest(self.after)

    @property
    def overruled(self) -> bool:
        """Tell whether what is to be replaced changed since, too."""
        return self.before is not None and self.agreed != _digest(self.before)

    @property
    def before(self) -> Kubeconfig | None:
        """What the side has that is to be replaced."""
        return self.held[Side.SOPS if self.taken is Side.STORE else Side.STORE].document

    @property
    def after(self) -> Kubeconfig | None:
        """What both are to have."""
        return self.held[self.taken or Side.STORE].document


def decide(store: str | None, sops: str | None, agreed: str | None) -> Side | None:
    """Return whose document to take, by their digests; None where they agree.

    A side that has none is always filled, never followed: nothing is removed on both sides because
    one was lost.

    Raises:
        SyncConflictError: both changed since they agreed, or never did.
    """
    if store == sops:
        return None
    if sops is None or (agreed == sops and store is not None):
        return Side.STORE
    if store is None or agreed == store:
        return Side.SOPS
    raise SyncConflictError(
        "both changed since they last agreed" if agreed else "they never agreed"
    )


def plan_sync(store: Store, sops: SopsStore, prefer: Side | None) -> SyncPlan:
    """Read both sides; `prefer` says whose document to take where both changed.

    Raises:
        SyncConflictError: both changed and nobody is preferred.
        KubeconfigError: one of the documents cannot be used.
        StoreError: a store could not be read, or neither has a document.
    """
    if sops.keys[0] == AGREED[0]:
        raise StoreError(f"{sops.name} is where sync remembers what both had: use another key")
    agreed = SopsStore(sops.file, AGREED).read().document
    held = {Side.STORE: _held(store), Side.SOPS: _held(sops)}
    ours, theirs = (_digest(one.document) for one in held.values())
    if ours is None and theirs is None:
        raise StoreError(f"neither {store.name} nor {sops.name} has a kubeconfig")
    try:
        taken = decide(ours, theirs, agreed)
    except SyncConflictError as error:
        if prefer is None:
            raise SyncConflictError(f"{store.name} and {sops.name}: {error}") from None
        taken = prefer
    return SyncPlan(store, sops, held, agreed, taken)


def _held(store: Store) -> Held:
    found = store.read()
    return Held(found.version, found.document, as_document(store, found.document))


def carry_out(plan: SyncPlan) -> None:
    """Write what the plan takes, if both sides still are as it says.

    Raises:
        Conflict: one is not.
        StoreError: one could not be written.
    """
    changes = []
    ours, theirs = plan.held[Side.STORE], plan.held[Side.SOPS]
    if plan.taken is Side.SOPS and theirs.text is not None:
        plan.store.write(theirs.text, ours.version)
    elif plan.taken is Side.STORE:
        changes.append(Change(plan.sops.keys, json.dumps(ours.text)))
    if not plan.remembered:
        changes.append(Change(AGREED, json.dumps(_digest(plan.after))))
    plan.sops.file.change(changes, theirs.version)


def sync(store: Store, sops: SopsStore, prefer: Side | None) -> SyncPlan:
    """Make both agree, remember on what, and return what was done.

    Raises:
        SyncConflictError: both changed and nobody is preferred.
        KubeconfigError: one of the documents cannot be used.
        StoreError: a store could not be read or written, or neither has a document.
    """
    for _ in attempts(DEADLINE_SECONDS):
        plan = plan_sync(store, sops, prefer)
        try:
            carry_out(plan)
        except Conflict:
            continue
        return plan
    raise StoreError(f"{store.name}: others kept writing for {DEADLINE_SECONDS:g} s: try again")


def _digest(document: Kubeconfig | None) -> str | None:
    return None if document is None else hashlib.sha256(dump(document).encode()).hexdigest()
