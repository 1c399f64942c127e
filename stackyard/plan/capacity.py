"""Whether nodes and storages have room for a plan, before anything of it is done.

A node's threads and memory bound each VM, and its memory all VMs that are going to run on it. A
storage that allocates whole disks must have them free; a thin one may promise more than it has, so
that is only told, as long as each disk could be filled.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from stackyard.definitions.availability import POWER_OF
from stackyard.definitions.hardware import EfiDisk
from stackyard.definitions.model import Definition, Disk
from stackyard.plan.allocation import Allocation, allocations
from stackyard.plan.disks import size_text
from stackyard.plan.observed import UNUSED, Observed, StorageRoom
from stackyard.plan.values import Action, Delete, ManageHa, MoveDisk, Plan, Shutdown, Start
from stackyard.plan.waves import changes_of

_GIB = 1 << 30


def nodes_that_allocate(plan: Plan, observed: Observed) -> frozenset[str]:
    """Return the nodes whose storages a plan puts something on."""
    return frozenset(part.node for part in allocations(plan, observed) if part.size_bytes >= 0)


def capacity_problems(
    plan: Plan, definitions: Iterable[Definition], observed: Observed
) -> tuple[str, ...]:
    """Return why the plan does not fit, a sentence each."""
    wanted = {definition.name: definition for definition in definitions}
    return (
        *(p for a in plan.actions if a.name in wanted for p in _one(a, wanted[a.name], observed)),
        *_memory(plan, wanted, observed),
        *dict.fromkeys(problem for problem, _note in _storages(plan, wanted, observed) if problem),
        *(
            p
            for a in plan.actions
            if a.name in wanted
            for p in _formats(a, wanted[a.name], observed)
        ),
    )


def capacity_notes(plan: Plan, observed: Observed) -> tuple[str, ...]:
    """Return what the plan promises beyond what is there."""
    return tuple(note for _problem, note in _storages(plan, {}, observed) if note)


def _one(action: Action, definition: Definition, observed: Observed) -> Iterator[str]:
    room = observed.rooms.get(action.final_node)
    if room is None or action.verb == "destroy":
        return
    at, name, node = definition.source.at, definition.name, action.final_node
    threads = definition.cores * definition.sockets
    if threads > room.threads:
        yield f"{at('cores')}: {name} asks for {threads} CPUs, but {node} has {room.threads}"
    if definition.memory_mib << 20 > room.memory_bytes:
        yield (
            f"{at('memory')}: {name} asks for {definition.memory_mib} MiB of memory, but {node} "
            f"has {room.memory_bytes >> 20}"
        )


def _memory(plan: Plan, wanted: dict[str, Definition], observed: Observed) -> Iterator[str]:
    before = {vm.vmid: (vm.node, vm.memory_bytes) for vm in observed.vms if vm.status == "running"}
    after = dict(before)
    for action in plan.actions:
        definition = wanted.get(action.name)
        if not _runs_after(action, action.vmid in before):
            after.pop(action.vmid, None)
        elif definition:
            after[action.vmid] = (action.final_node, definition.memory_mib << 20)
    had, asked = _by_node(before.values()), _by_node(after.values())
    for node, room in sorted(observed.rooms.items()):
        if asked[node] > max(room.memory_bytes, had[node]):
            yield (
                f"{node} has {_gib(room.memory_bytes)} GiB of memory, and the VMs that would run "
                f"there ask for {_gib(asked[node])} GiB: stop one, move one or give one less"
            )


def _runs_after(action: Action, runs: bool) -> bool:
    for step in action.steps:
        if isinstance(step, Shutdown | Delete):
            runs = False
        elif isinstance(step, Start):
            runs = True
        elif isinstance(step, ManageHa) and step.after:
            power = POWER_OF.get(step.after.state or "")
            runs = runs if power is None else power == "running"
    return runs


def _by_node(shares: Iterable[tuple[str, int]]) -> defaultdict[str, int]:
    sums: defaultdict[str, int] = defaultdict(int)
    for node, size in shares:
        sums[node] += size
    return sums


def _storages(
    plan: Plan, wanted: dict[str, Definition], observed: Observed
) -> Iterator[tuple[str, str]]:
    """Yield a problem or a note for each storage that is asked for more than it has."""
    rooms = {(node, room.name): room for node, rooms in observed.storages.items() for room in rooms}
    groups: defaultdict[tuple[str, str], list[Allocation]] = defaultdict(list)
    for part in allocations(plan, observed):
        room = rooms.get((part.node, part.storage))
        if room and room.shared and part.stays:
            continue
        if room:
            groups["" if room.shared else part.node, part.storage].append(part)
        elif part.size_bytes >= 0 and part.node in observed.storages:
            asks = f"{_who(part, wanted)} is to have {part.slot} on {part.storage}"
            yield f"{asks}, {_absent(part, rooms)}", ""
    for (place, storage), parts in sorted(groups.items()):
        found = rooms[place or parts[0].node, storage]
        where = f"{storage} on {place}" if place else storage
        largest = max(parts, key=lambda part: part.disk_bytes)
        if largest.disk_bytes > found.total_bytes:
            asks = f"{_who(largest, wanted)} asks for a disk of {size_text(largest.disk_bytes)}"
            yield f"{asks} on {where}, which has {_gib(found.total_bytes)} GiB in all", ""
        else:
            yield _fits(parts, found, where)


def _formats(action: Action, definition: Definition, observed: Observed) -> Iterator[str]:
    """Yield why disks cannot have their format."""
    rooms = observed.storages.get(action.final_node, ())
    raw_only = {room.name for room in rooms if room.raw_only}
    for slot, form, storage in _formatted(action):
        if form not in (None, "raw") and storage in raw_only:
            yield (
                f"{definition.source.at(slot)}: {action.name} is to have {slot} as {form}, but "
                f"{storage} keeps raw disks alone: leave the format out"
            )


def _formatted(action: Action) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield slot, format and storage of new disks, and of those that only change their format.

    Of one that is copied to a storage Proxmox itself chooses a format that this has.
    """
    for change in changes_of(action):
        disk = change.after
        is_copied = isinstance(disk, Disk) and disk.import_from
        if change.before is None and isinstance(disk, Disk | EfiDisk) and not is_copied:
            yield change.key, disk.format, disk.storage
    for step in action.steps:
        if isinstance(step, MoveDisk) and step.before == step.storage:
            yield step.slot, step.format, step.storage


def _who(part: Allocation, wanted: dict[str, Definition]) -> str:
    """Return the name of a VM, after the place of the disk in its definition."""
    definition = wanted.get(part.name)
    return f"{definition.source.at(part.slot)}: {part.name}" if definition else part.name


def _absent(part: Allocation, rooms: dict[tuple[str, str], StorageRoom]) -> str:
    has = ", ".join(sorted(name for node, name in rooms if node == part.node))
    advice = ": move or remove it in Proxmox first" if part.slot.startswith(UNUSED) else ""
    return f"which {part.node} does not have for disks (it has {has or 'none'}){advice}"


def _fits(parts: list[Allocation], room: StorageRoom, where: str) -> tuple[str, str]:
    asked = sum(part.size_bytes for part in parts)
    if asked <= room.free_bytes:
        return "", ""
    sentence = f"{where} has {_gib(room.free_bytes)} GiB free, and the plan asks for {_gib(asked)}"
    if room.thin:
        return "", f"{sentence} GiB: it is thin, so that goes well until the disks fill"
    largest = max(parts, key=lambda part: part.size_bytes)
    return f"{sentence} GiB, most of it {largest.name}: make room or choose another storage", ""


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / _GIB:.1f}".removesuffix(".0")
