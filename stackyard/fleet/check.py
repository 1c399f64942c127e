"""Checks across VMs: what each definition allows on its own may be impossible together."""

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator

from stackyard.definitions.document import Problem
from stackyard.definitions.hardware import CiCustom, EfiDisk, TpmState
from stackyard.definitions.model import Definition
from stackyard.definitions.vm_reader import CARDS
from stackyard.fleet.addresses import vm_addresses
from stackyard.fleet.check_addresses import (
    check_k3s,
    check_networks,
    check_overlaps,
    check_pools,
    check_prefixes,
)
from stackyard.fleet.site import Site


def check_fleet(
    definitions: Iterable[Definition], site: Site, wrong: Collection[str] = ()
) -> tuple[Problem, ...]:
    """Return every mistake across the definitions, and against the site's nodes and networks.

    `wrong` are the paths of definitions with mistakes of their own: what they ask of a node is not
    known yet.
    """
    vms = sorted(definitions, key=lambda vm: vm.name)
    return (
        *_shared(vms, lambda vm: [("vmid", vm.vmid)] if vm.vmid else []),
        *_shared(vms, vm_addresses),
        *_shared(vms, _macs),
        *(problem for vm in vms if vm.managed for problem in _placement(vm, site)),
        *(problem for vm in vms if vm.managed for problem in _foreign_volumes(vm, site)),
        *(problem for vm in vms for problem in check_prefixes(vm, site)),
        *check_overlaps(vms, site),
        *check_pools(vms, site),
        *check_networks(site),
        *check_k3s(vms, site),
        *_memory([vm for vm in vms if vm.source.path not in wrong], site),
    )


def _macs(vm: Definition) -> list[tuple[str, str]]:
    own, inherited = vm.source.lines, vm.source.defaults.lines if vm.source.defaults else {}
    given = own if CARDS & own.keys() else inherited
    key = "network" if "network" in given else "networks"
    return [(key, nic.mac) for nic in vm.networks if nic.mac]


def _shared(
    vms: list[Definition], values: Callable[[Definition], Iterable[tuple[str, Hashable]]]
) -> Iterator[Problem]:
    """Yield what two VMs have, or one twice; `values` are a VM's, each with the key that gives it.

    The same key may give a value twice, as two cards of `networks` do.
    """
    first: dict[Hashable, tuple[Definition, str]] = {}
    for vm in vms:
        for key, value in values(vm):
            other, its_key = first.setdefault(value, (vm, key))
            if other is not vm:
                so_has = f"and so has {other.name} ({other.source.at(its_key)})"
                yield vm.source.problem(key, f"{vm.name} has {value}, {so_has}")
            elif its_key != key:
                yield vm.source.problem(key, f"{vm.name} has {value} in {its_key}, too: keep one")


def _placement(vm: Definition, site: Site) -> Iterator[Problem]:
    if not site.nodes or not vm.target_node:
        return
    node = site.nodes.get(vm.target_node)
    if node is None:
        sentence = f"unknown node {vm.target_node}: {site.path} has {', '.join(site.nodes)}"
        yield vm.source.problem("target_node", sentence)
        return
    for slot, storage in _stored(vm):
        if node.storages and storage not in node.storages:
            has = ", ".join(node.storages)
            said = f"{slot} of {vm.name} is on {storage}, but {node.name} has {has}"
            yield vm.source.problem(slot, said)
    if vm.cores * vm.sockets > node.threads:
        asked = vm.cores * vm.sockets
        sentence = f"{vm.name} asks for {asked} CPUs, but {node.name} has {node.threads} threads"
        given = [key for key in ("cores", "sockets") if key in vm.source.lines]
        yield vm.source.problem(next(iter(given), "cores"), sentence)


def _stored(vm: Definition) -> Iterator[tuple[str, str]]:
    """Yield what is to be on a storage: the slot and the storage."""
    for disk in vm.disks:
        if disk.storage:
            yield disk.slot, disk.storage
    for slot, device in vm.devices.items():
        if isinstance(device, EfiDisk | TpmState) and device.storage:
            yield slot, device.storage


def _foreign_volumes(vm: Definition, site: Site) -> Iterator[Problem]:
    """Yield images and snippets on a storage that the VM's node lacks."""
    node = site.nodes.get(vm.target_node)
    if node is None or not node.storages:
        return
    for key, volume in _volumes(vm):
        storage, colon, _ = volume.partition(":")
        # A path, `none` and `cdrom` are on no storage.
        if colon and not volume.startswith("/") and storage not in node.storages:
            has = ", ".join(node.storages)
            sentence = f"{key} of {vm.name} needs {volume}, but {node.name} has {has}"
            yield vm.source.problem(key, f"{sentence}: {site.path} is to name all its storages")


def _volumes(vm: Definition) -> Iterator[tuple[str, str]]:
    """Yield the volumes that a definition takes as they are, each with the key that names it."""
    for disk in vm.disks:
        for volume in (disk.volume, disk.import_from):
            if volume:
                yield disk.slot, volume
    if vm.hookscript:
        yield "hookscript", vm.hookscript
    snippets = vm.devices.get("cicustom")
    if isinstance(snippets, CiCustom):
        documents = (snippets.meta, snippets.network, snippets.user, snippets.vendor)
        yield from (("cicustom", volume) for volume in documents if volume)


def _memory(vms: list[Definition], site: Site) -> Iterator[Problem]:
    """Report a node whose VMs, but for those that will not run, ask for more than it has.

    VMs that are not managed run there too; of one that says nothing of its memory it is not known.
    """
    running: dict[str, list[Definition]] = defaultdict(list)
    for vm in vms:
        runs = vm.vm_state != "stopped" and not vm.template
        is_known = vm.managed or "memory_mib" in vm.source.given
        if is_known and runs and vm.target_node in site.nodes:
            running[vm.target_node].append(vm)
    for name, members in running.items():
        has, asked = site.nodes[name].memory_mib, sum(vm.memory_mib for vm in members)
        if asked > has:
            largest = max(members, key=lambda vm: vm.memory_mib)
            sentence = (
                f"{name} has {has} MiB of memory, its VMs ask for {asked} MiB,"
                f" most {largest.name} ({largest.memory_mib})"
            )
            yield largest.source.problem("memory", sentence)
