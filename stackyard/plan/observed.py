"""What is really there, in the model's terms: the second half of every plan's input.

Filled by `stackyard.proxmox.observe`; tests write it by hand. A VM is ours by its tag and its name,
or, between its cloning and its first configuration, by the marker in its description.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from stackyard.definitions.hardware import Ha
from stackyard.definitions.model import Disk, IpConfig, Nic, PowerState
from stackyard.plan.values import Value

TAG = "stackyard"
UNCONFIGURED = "stackyard-unconfigured"  # no play has succeeded on it yet
RESTART = "stackyard-restart"  # cloud-init data was changed and the guest has not restarted since
KEEPS = "stackyard-keeps-"  # and an address that the guest uses until it restarts
SYSTEM_TAGS = frozenset({TAG, UNCONFIGURED, RESTART})
# An option of Proxmox that means nothing where it is absent or 0. Like most, a running VM has it
# only once QEMU starts, and then its cloud-init drive is written anew, too: written along with
# cloud-init data it is pending until the guest can have read them, whoever restarts the VM.
MARK = "freeze"
BOOT_DISK = "bootdisk"  # an option of Proxmox that says what a boot order of letters boots from
UNUSED = "unused"  # options of Proxmox, unused0 and so on: disks that left their slots
SNAPSHOT = "parent"  # an option of Proxmox, the last of the snapshots where a VM has any
BEING_MADE = frozenset({"clone", "create"})  # values of `lock` while Proxmox makes a VM


def is_system_tag(tag: str) -> bool:
    """Tell whether a tag is ours to set and to remove."""
    return tag in SYSTEM_TAGS or tag.startswith(KEEPS)


def keeping(address: str) -> str:
    """Return the tag of a VM whose guest keeps an address; a tag cannot have a colon."""
    return KEEPS + address.replace(":", "_")


def as_tags(value: Value) -> tuple[str, ...]:
    """Return the tags that the value of the key `tags` is; none where it is not set."""
    return value if isinstance(value, tuple) else ()


def kept_addresses(tags: Value) -> frozenset[str]:
    """Return the addresses that tags say the guest keeps."""
    kept = (tag.removeprefix(KEEPS) for tag in as_tags(tags) if tag.startswith(KEEPS))
    return frozenset(address.replace("_", ":") for address in kept)


def marker(name: str) -> str:
    """Return the description of a VM that is cloned and not configured yet."""
    return f"stackyard: {name} is being created"


@dataclass(frozen=True, slots=True)
class Config:
    """One VM's configuration, waiting changes included."""

    digest: str | None = None  # None: of a VM that is not there yet, or not known
    values: Mapping[str, Value] = field(default_factory=dict)  # by key of a definition file
    keep: Mapping[str, str] = field(default_factory=dict)  # by key: options no definition knows
    pending: frozenset[str] = frozenset()  # keys whose value waits for a restart
    running: Mapping[str, Value] = field(default_factory=dict)  # what runs until then, by key
    fingerprint: str | None = None  # of all but the lock, which is part of Proxmox's digest
    identity: str | None = None  # what no other VM has, under the same VMID neither
    lock: str | None = None

    @property
    def name(self) -> str | None:
        """The VM's own name; None where it has none yet."""
        name = self.values.get("name")
        return str(name) if name else None

    @property
    def tags(self) -> tuple[str, ...]:
        """The VM's tags."""
        return as_tags(self.values.get("tags"))

    @property
    def is_unread(self) -> bool:
        """Whether cloud-init data was changed that the guest has not read, if it runs."""
        return MARK in self.pending or RESTART in self.tags

    def with_size(self, slot: str, size_bytes: int) -> "Config":
        """Return the configuration once the disk in a slot was enlarged: its digest is another."""
        disk = replace(self.disks()[slot], size_bytes=size_bytes)
        values = {**self.values, slot: disk}
        return replace(self, values=values, digest=None, fingerprint=None)

    def leaving(self) -> dict[str, Value]:
        """Return by key what a restart takes out, and what until then is there."""
        gone = self.running.keys() & self.pending - self.values.keys()
        return {key: self.running[key] for key in sorted(gone)}

    def disks(self) -> dict[str, Disk]:
        """Return what is in each slot."""
        return {key: value for key, value in self.values.items() if isinstance(value, Disk)}

    def networks(self) -> dict[str, Nic]:
        """Return the interfaces by key (`net0`)."""
        return {key: value for key, value in self.values.items() if isinstance(value, Nic)}

    def ipconfigs(self) -> dict[str, IpConfig]:
        """Return the cloud-init addresses by key (`ipconfig0`)."""
        return {key: value for key, value in self.values.items() if isinstance(value, IpConfig)}


@dataclass(frozen=True, slots=True)
class ObservedVm:
    """A VM on a node; `config` is None where nobody asked for it."""

    vmid: int
    node: str
    name: str | None
    status: PowerState = "stopped"
    template: bool = False
    tags: tuple[str, ...] = ()
    lock: str | None = None
    memory_bytes: int = 0  # what it may use
    disk_bytes: int = 0  # of the disk that it boots from
    config: Config | None = None
    abandoned: bool = False  # locked by a making that nobody carries on
    ha: Ha | None = None  # where somebody asked

    @property
    def is_ours(self) -> bool:
        """Whether this product made it, finished or not."""
        return TAG in self.tags or self.is_half_made

    @property
    def kept_addresses(self) -> frozenset[str]:
        """The addresses that the guest uses although its configuration has others."""
        is_unread = self.status == "running" and self.config is not None and self.config.is_unread
        return kept_addresses(self.tags) if is_unread else frozenset()

    @property
    def is_half_made(self) -> bool:
        """Whether it was cloned by this product and never configured.

        Its tags may be those of a template of ours: the mark goes with the first configuration.
        """
        if self.name is None or self.config is None:
            return False
        return self.config.values.get("description") == marker(self.name)

    @property
    def is_unfinished(self) -> bool:
        """Whether Proxmox began to make it and did not get to the end, by now or for ever."""
        return self.lock in BEING_MADE

    @property
    def is_leftover(self) -> bool:
        """Whether it is nothing but what a making that was broken off has left behind."""
        return self.abandoned and (self.name is None or self.is_half_made)

    @property
    def is_being_made(self) -> bool:
        """Whether Proxmox is still busy making it."""
        return self.is_unfinished and not self.abandoned


@dataclass(frozen=True, slots=True)
class NodeRoom:
    """What a node has."""

    threads: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class StorageRoom:
    """What a storage has, seen from one node."""

    name: str
    free_bytes: int
    total_bytes: int
    thin: bool = False  # allocates what is written, so more can be promised than it has
    shared: bool = False
    raw_only: bool = False  # makes no disk of another format


@dataclass(frozen=True, slots=True)
class Observed:
    """The whole cluster, as far as a plan needs it."""

    nodes: Mapping[str, bool]  # name: online and answering
    vms: tuple[ObservedVm, ...] = ()
    rooms: Mapping[str, NodeRoom] = field(default_factory=dict)  # by node, where it told
    storages: Mapping[str, tuple[StorageRoom, ...]] = field(default_factory=dict)  # by node
    local_storages: frozenset[str] = frozenset()  # that are not shared, where somebody asked
    shared_storages: frozenset[str] = frozenset()  # the others
    file_storages: frozenset[str] = frozenset()  # of either, whose volumes tell their format
    pools: frozenset[str] | None = None  # None: nobody asked
    taken: frozenset[int] = frozenset()  # VMIDs that somebody has whom the lists do not show
    certificates: Mapping[str, str] = field(default_factory=dict)  # by node, where it told
    _named: Mapping[str | None, list[ObservedVm]] = field(init=False, repr=False, compare=False)
    _numbered: Mapping[int, list[ObservedVm]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        named, numbered = defaultdict(list), defaultdict(list)
        for vm in sorted(self.vms, key=lambda vm: vm.vmid):
            named[vm.name].append(vm)
            numbered[vm.vmid].append(vm)
        object.__setattr__(self, "_named", named)
        object.__setattr__(self, "_numbered", numbered)

    @property
    def away(self) -> tuple[ObservedVm, ...]:
        """The VMs on nodes that do not answer: known from memory, perhaps without their names."""
        return tuple(vm for vm in self.vms if not self.nodes.get(vm.node))

    def named(self, name: str) -> tuple[ObservedVm, ...]:
        """Return the VMs of that name, templates included, by VMID."""
        return tuple(self._named.get(name, ()))

    def numbered(self, vmid: int) -> tuple[ObservedVm, ...]:
        """Return the VM of that VMID, or nothing."""
        return tuple(self._numbered.get(vmid, ()))

    def ours(self, name: str) -> tuple[ObservedVm, ...]:
        """Return the VMs of that name that are ours."""
        return tuple(vm for vm in self.named(name) if vm.is_ours)

    def templates(self, node: str, name: str) -> tuple[ObservedVm, ...]:
        """Return the templates of that name on the node, ours first, and by VMID."""
        found = (vm for vm in self.named(name) if vm.template and vm.node == node)
        return tuple(sorted(found, key=lambda vm: not vm.is_ours))

    def template(self, node: str, name: str) -> ObservedVm | None:
        """Return the template of that name on the node; of several the first of `templates`."""
        return next(iter(self.templates(node, name)), None)
