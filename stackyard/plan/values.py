"""The plan as values: what will be done to which VM, in which order.

Made by `stackyard.plan.make`, carried out by `stackyard.proxmox.apply`, and nothing is decided in
between. Keys are those of a definition file (`memory`, `cpu_type`, `scsi0`, `net0`, `ipconfig0`),
values those of the model, so that neither a reader nor a test needs Proxmox's wire format.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from stackyard.definitions.hardware import Device, Ha
from stackyard.definitions.model import Disk, IpConfig, Nic, PowerState, Reference, VaultReference

Value = (
    None
    | bool
    | int
    | float
    | str
    | tuple[str, ...]
    | Disk
    | Nic
    | IpConfig
    | Device
    | Reference
    | VaultReference
)
Verb = Literal["create", "finish", "update", "replace", "destroy"]
When = Literal["now", "restart", "held"]  # held: waits for a restart that nobody allowed


@dataclass(frozen=True, slots=True)
class Change:
    """One key of a VM's configuration: from `before` to `after` (None: not set)."""

    key: str
    before: Value
    after: Value
    keep: str = ""  # options of the property that no definition knows; written back as they are
    when: When = "now"


@dataclass(frozen=True, slots=True)
class Clone:
    """Copy a template of the same node; `storage` and `format` are for full copies only."""

    template: str
    template_vmid: int
    full: bool
    storage: str | None = None
    format: str | None = None
    pool: str | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """Make a VM from nothing, with everything it needs, in one request."""

    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Configure:
    """Set and delete keys in one write."""

    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Grow:
    """Enlarge a disk to a total size."""

    slot: str
    before_bytes: int | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class MoveDisk:
    """Copy a disk to another storage or into another format, and let the copy take its place."""

    slot: str
    before: str | None
    storage: str
    size_bytes: int | None
    format: str | None = None


@dataclass(frozen=True, slots=True)
class Erase:
    """Take a disk out of its slot and delete it."""

    slot: str
    disk: Disk
    when: When = "now"


@dataclass(frozen=True, slots=True)
class Migrate:
    """Move the VM with its disks to another node; `storages` are pairs written `from:to`."""

    source: str
    target: str
    online: bool
    storages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ManageHa:
    """Make, change or remove the VM's resource of high availability (None: there is none).

    Its state is the power of the VM, which the cluster switches: the step ends once it has.
    """

    before: Ha | None
    after: Ha | None


@dataclass(frozen=True, slots=True)
class Start:
    """Power the VM on."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Shut the guest down, by force once its time is over."""


@dataclass(frozen=True, slots=True)
class Reboot:
    """Restart the guest, so that waiting changes and cloud-init data take effect."""


@dataclass(frozen=True, slots=True)
class MakeTemplate:
    """Turn the VM into a template."""


@dataclass(frozen=True, slots=True)
class Unlock:
    """Take off the lock of a making that was broken off, which only root may."""

    lock: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the VM and all its disks."""


Step = (
    Clone
    | Create
    | Configure
    | Grow
    | MoveDisk
    | Erase
    | Migrate
    | ManageHa
    | Start
    | Shutdown
    | Reboot
    | MakeTemplate
    | Unlock
    | Delete
)


@dataclass(frozen=True, slots=True)
class Action:
    """All that happens to one VM, step after step."""

    name: str
    node: str  # where it is, or is going to be made
    vmid: int
    verb: Verb
    steps: tuple[Step, ...]
    about: str  # for people
    digest: str | None = None  # of the configuration the plan was made against; None: no VM yet
    fingerprint: str | None = None  # of the same without its lock, which may come and go
    status: PowerState | None = None  # the power it was made against
    target: str | None = None  # the node it is on afterwards, where that is another one
    waiting: tuple[str, ...] = ()  # keys that were as wanted before, but for a restart
    frees: tuple[str, ...] = ()  # addresses that a VM to be removed has

    @property
    def final_node(self) -> str:
        """The node that the VM is on afterwards."""
        return self.target or self.node


@dataclass(frozen=True, slots=True)
class Waiting:
    """A VM without an action: it is as wanted as soon as somebody restarts it."""

    name: str
    keys: tuple[str, ...]  # whose values wait; none: the guest has to read its cloud-init data


@dataclass(frozen=True, slots=True)
class Plan:
    """Waves of actions: those of one wave are independent, waves follow each other."""

    waves: tuple[tuple[Action, ...], ...] = ()
    problems: tuple[str, ...] = ()  # why it must not be carried out
    notes: tuple[str, ...] = ()  # what is left alone, and why
    orphans: tuple[str, ...] = ()  # the same of each VM of ours that has no definition and stays
    waiting: tuple[Waiting, ...] = ()  # automatic_reboot: false leaves the restart to the user
    blocked: tuple[str, ...] = ()  # names of VMs without an action, for a problem stands against it
    wanted: int = 0  # VMs that were looked at
    cluster: tuple[str, ...] = ()  # it was made for: each node, and its certificate where it told

    @property
    def actions(self) -> Iterator[Action]:
        """Every action, in the order of the waves."""
        return (action for wave in self.waves for action in wave)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do and nothing wrong."""
        return not self.waves and not self.problems
