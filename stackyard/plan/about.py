"""Words for people about a VM that is going to be made."""

from collections.abc import Iterator

from stackyard.definitions.availability import NO_RESOURCE
from stackyard.definitions.model import Definition, Disk
from stackyard.plan.disks import size_text
from stackyard.plan.values import Clone, Step


def about_new(definition: Definition, steps: tuple[Step, ...]) -> str:
    """Say in one line what a new VM is like."""
    return ", ".join(_parts(definition, steps))


def _parts(definition: Definition, steps: tuple[Step, ...]) -> Iterator[str]:
    clone = next((step for step in steps if isinstance(step, Clone)), None)
    if clone:
        yield f"{'clone' if clone.full else 'linked clone'} of {clone.template}"
    cores = definition.cores * definition.sockets
    yield f"{cores} core{'s' if cores > 1 else ''}"
    yield size_text(definition.memory_mib << 20)
    yield from (_disk(disk) for disk in definition.disks if disk.media == "disk")
    yield from (ip.ip for ip in definition.ipconfigs if ip and ip.ip)
    if definition.ha and definition.ha.state != NO_RESOURCE:
        yield "kept by HA"
    if definition.template:
        yield "a template"
    elif definition.vm_state:
        yield definition.vm_state


def _disk(disk: Disk) -> str:
    size = f" {size_text(disk.size_bytes)}" if disk.size_bytes else ""
    return f"{disk.slot}{size}{f' on {disk.storage}' if disk.storage else ''}"
