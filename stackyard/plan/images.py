"""Images in the CD-ROM drives of VMs that are to move to another node.

Proxmox copies a VM's disks to the other node, but never an image in a drive: it aborts the
migration unless the image's storage is a shared one, even if the other node has the same image.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stackyard.definitions.model import Definition, Disk
from stackyard.plan.observed import Observed
from stackyard.plan.values import Action, Configure, Migrate, Plan, Value

_EMPTY = "none"  # what is in a drive without an image


@dataclass(frozen=True, slots=True)
class Carried:
    """What is in a CD-ROM drive at the time of the move."""

    action: Action
    move: Migrate
    slot: str
    volume: str

    @property
    def storage(self) -> str:
        """The image's storage; empty for the node's own drive (`cdrom`) or a path on it."""
        storage, colon, _ = self.volume.partition(":")
        return storage if colon and not storage.startswith("/") else ""


def carried_images(plan: Plan, observed: Observed) -> tuple[Carried, ...]:
    """Return all of them; what a write before the move takes out is none."""
    return tuple(image for action in plan.actions for image in _of_action(action, observed))


def image_problems(
    plan: Plan, definitions: Iterable[Definition], observed: Observed
) -> tuple[str, ...]:
    """Return why VMs cannot move, a sentence each; a storage that nobody knows is trusted."""
    places = {definition.name: definition.source.at for definition in definitions}
    return tuple(
        f"{places[image.action.name](image.slot)}: {_sentence(image)}"
        for image in carried_images(plan, observed)
        if not image.storage or image.storage in observed.local_storages
    )


def _of_action(action: Action, observed: Observed) -> Iterator[Carried]:
    configs = (vm.config for vm in observed.numbered(action.vmid) if vm.config)
    drives = _images(item for config in configs for item in config.values.items())
    for step in action.steps:
        if isinstance(step, Configure):
            for key in (change.key for change in step.changes):
                drives.pop(key, None)
            drives |= _images((change.key, change.after) for change in step.changes)
        elif isinstance(step, Migrate):
            yield from (Carried(action, step, slot, image) for slot, image in drives.items())


def _images(values: Iterable[tuple[str, Value]]) -> dict[str, str]:
    """Return what is in which CD-ROM drive; nothing of a cloud-init drive, which is made anew."""
    return {
        slot: value.volume
        for slot, value in values
        if isinstance(value, Disk) and value.media == "iso" and value.volume not in (None, _EMPTY)
    }


def _sentence(image: Carried) -> str:
    name, source, target = image.action.name, image.move.source, image.move.target
    why = f"{image.storage} is not a shared storage" if image.storage else f"only {source} has that"
    return (
        f"{name} cannot move from {source} to {target} with {image.volume} in {image.slot}: {why}; "
        f"apply once with `iso: none` in {image.slot}, and put the image back then"
    )
