"""The difference between one definition and one configuration.

Without a decision on power: that is made in `stackyard.plan.steps`.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from stackyard.definitions.hardware import Cpu
from stackyard.definitions.model import Definition, Disk, IpConfig, Nic
from stackyard.plan.booting import boot_problem, kept_order
from stackyard.plan.consent import Extra
from stackyard.plan.desired import desired_values, is_empty, over, same
from stackyard.plan.disks import CloneKind, compare_disks, extra_disks
from stackyard.plan.firmware import firmware_problem
from stackyard.plan.hotplug import DEFAULT
from stackyard.plan.machines import with_version
from stackyard.plan.observed import BOOT_DISK, Config
from stackyard.plan.values import Change, Erase, Grow, MoveDisk, Value

# What Proxmox takes where a key is absent (qm.conf(5)).
PROXMOX_DEFAULTS: dict[str, Value] = {
    "cores": 1,
    "sockets": 1,
    "memory": 512,
    "cpu_type": Cpu("kvm64"),
    "numa": False,
    "onboot": False,
    "agent": False,
    "protection": False,
    "scsihw": "lsi",
    "bios": "seabios",
    "ostype": "other",
    "acpi": True,
    "kvm": True,
    "tablet": True,
    "ciupgrade": True,
    "cpulimit": 0,
    "shares": 1000,
    "hotplug": DEFAULT,
}
_GUEST_KEYS = frozenset({
    "ciuser", "cipassword", "sshkeys", "nameserver", "searchdomain", "ciupgrade", "cicustom",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Difference:
    """What separates a VM from its definition."""

    released: tuple[Change, ...]  # cloud-init drives that have to go before a new one is made
    changes: tuple[Change, ...]
    grows: tuple[Grow, ...]
    moves: tuple[MoveDisk, ...]
    erased: tuple[Erase, ...]
    problems: tuple[tuple[str, str], ...]  # key, sentence
    notes: tuple[str, ...]
    waiting: tuple[str, ...]  # keys that are as wanted as soon as the VM restarts

    @property
    def leaving(self) -> tuple[str, ...]:
        """The slots whose drives go, which Proxmox refuses while the VM is protected."""
        changes = (*self.released, *self.changes)
        gone = [c.key for c in changes if c.after is None and isinstance(c.before, Disk)]
        return (*gone, *(erase.slot for erase in self.erased))


def compare(
    definition: Definition, config: Config, clone: CloneKind = None, extra: Extra = "keep"
) -> Difference:
    """Compare a definition with a configuration, the real one or the one a clone will have."""
    wanted = desired_values(definition)
    if "machine" in wanted:
        ostype = wanted.get("ostype", config.values.get("ostype"))
        wanted["machine"] = with_version(wanted["machine"], config.values.get("machine"), ostype)
    disks = {disk.slot: disk for disk in definition.disks}
    leaving = {key: disk for key, disk in config.leaving().items() if isinstance(disk, Disk)}
    work = compare_disks(disks, config.disks(), leaving, dict(config.keep), clone)
    changes = [
        change
        for key, value in wanted.items()
        if not isinstance(value, Disk) and (change := _change(key, value, config))
    ]
    problems = [
        (change.key, problem)
        for change in changes
        if (problem := firmware_problem(change.key, change.after, change.before))
    ]
    problems += _balloon_problem(wanted, config, changes)
    changes += work.changes
    unwanted = extra_disks(disks, config.disks(), _boot(wanted, config))
    extras = {disk.slot: disk for disk in unwanted} | extra_network(definition, config)
    erased: tuple[Erase, ...] = ()
    if extra == "detach":
        changes += [Change(key, value, None) for key, value in extras.items()]
    elif extra == "erase":
        erased = tuple(Erase(disk.slot, disk) for disk in unwanted if disk.media == "disk")
        # A device of the node only leaves: its data are not the VM's, and Proxmox keeps them.
        changes += [Change(d.slot, d, None) for d in unwanted if d.media == "passthrough"]
    changes += kept_order(wanted, config, (*work.released, *changes))
    problems += boot_problem(config, (*work.released, *changes))
    touched = {change.key for change in (*changes, *work.released)}
    touched |= {erase.slot for erase in erased}
    ours = wanted.keys() if extra == "keep" else wanted.keys() | _left(config)
    return Difference(
        released=tuple(work.released),
        changes=tuple(changes),
        grows=tuple(work.grows),
        moves=tuple(work.moves),
        erased=erased,
        problems=(*work.problems, *problems),
        notes=tuple(_left_alone(wanted, config, touched, extras.keys())),
        waiting=tuple(sorted((config.pending & ours) - touched)),
    )


def extra_network(definition: Definition, config: Config) -> dict[str, Value]:
    """Return the cards and the cloud-init addresses that a definition does not have, by key.

    As with disks, one that says nothing of cards leaves those that its template brought, and one
    that says nothing of addresses leaves these, DHCP above all, but for those of a card that goes.
    """
    found: dict[str, Value] = {**config.networks()} if definition.networks else {}
    cards = {f"net{number}" for number in range(len(definition.networks))}
    gone = {key.replace("net", "ipconfig") for key in found.keys() - cards}
    there = _addresses(config, cards)
    addresses = there if definition.ipconfigs else {key: there[key] for key in gone & there.keys()}
    wanted = cards | {f"ipconfig{number}" for number, ip in enumerate(definition.ipconfigs) if ip}
    return {key: v for key, v in sorted((found | addresses).items()) if key not in wanted}


def _addresses(config: Config, cards: Collection[str]) -> dict[str, IpConfig]:
    """Return the cloud-init addresses of cards that are there or wanted.

    Proxmox ignores all others, until there is such a card.
    """
    known = {key.replace("net", "ipconfig") for key in (*config.networks(), *cards)}
    return {key: value for key, value in config.ipconfigs().items() if key in known}


def _change(key: str, wanted: Value, config: Config) -> Change | None:
    found = config.values.get(key, PROXMOX_DEFAULTS.get(key))
    if found == wanted:
        return None
    there = config.leaving().get(key) if found is None else found
    wanted = None if is_empty(wanted) else over(wanted, there)
    if same(key, wanted, found):
        return None
    return Change(key, found, wanted, config.keep.get(key, ""))


def _balloon_problem(
    wanted: dict[str, Value], config: Config, changes: list[Change]
) -> Iterator[tuple[str, str]]:
    """Yield why Proxmox would refuse less memory, where only the VM or its template has a balloon.

    A definition that says both is checked when it is read.
    """
    memory, balloon = wanted["memory"], config.values.get("balloon")
    is_written = "balloon" not in wanted and any(change.key == "memory" for change in changes)
    if is_written and isinstance(memory, int) and isinstance(balloon, int) and balloon > memory:
        why = f"memory is to be {memory}, but balloon is {balloon} and Proxmox keeps it at most as"
        yield "memory", f"{why} large: set balloon too"


def _boot(wanted: dict[str, Value], config: Config) -> str:
    """Return the boot order that is going to be: what it does not name is no boot disk.

    Letters as `c` mean the disk of the older option `bootdisk`.
    """
    boot = str(wanted.get("boot") or config.values.get("boot") or "")
    return boot if boot.startswith("order=") else f"{boot};{config.values.get(BOOT_DISK, '')}"


def _left(config: Config) -> set[str]:
    """Return the disks, cards and addresses that a restart takes out."""
    devices = Disk | Nic | IpConfig
    there = {key for key, value in config.running.items() if isinstance(value, devices)}
    return there - config.values.keys()


def _left_alone(
    wanted: dict[str, Value], config: Config, touched: set[str], extras: Collection[str]
) -> Iterator[str]:
    # The drive for cloud-init that a template brings is in nobody's way.
    disks = {slot: disk for slot, disk in config.disks().items() if disk.media != "cloudinit"}
    cards = [key for key, value in wanted.items() if isinstance(value, Nic)]
    devices = {**disks, **config.networks(), **_addresses(config, cards)}
    for key in sorted(devices.keys() - wanted.keys() - touched):
        advice = ": --detach takes it off" if key in extras else ""
        yield f"{key} is not in the definition and is left alone{advice}"


def is_for_guest(change: Change) -> bool:
    """Tell whether a change is cloud-init data, which the guest reads when it starts."""
    addresses = isinstance(change.before, IpConfig) or isinstance(change.after, IpConfig)
    return change.key in _GUEST_KEYS or addresses
