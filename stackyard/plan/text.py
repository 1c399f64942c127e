"""A plan as text for people: one line a VM, then what is left alone, what is wrong, and a sum."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields

from stackyard.definitions.hardware import Cpu, Device, Ha
from stackyard.definitions.model import Disk, IpConfig, Nic, Reference, VaultReference
from stackyard.plan import booting
from stackyard.plan.disks import OPTIONS, size_text
from stackyard.plan.observed import MARK, as_tags, is_system_tag
from stackyard.plan.values import (
    Action,
    Change,
    Configure,
    Erase,
    Grow,
    MakeTemplate,
    ManageHa,
    Migrate,
    MoveDisk,
    Plan,
    Reboot,
    Shutdown,
    Start,
    Step,
    Value,
    Verb,
    When,
)

SIGNS: dict[Verb, str] = {
    "create": "+",
    "finish": "+",
    "update": "~",
    "replace": "±",
    "destroy": "-",
}
_SAID: dict[Verb, str] = {
    "create": "to create",
    "finish": "to finish",
    "update": "to change",
    "replace": "to replace",
    "destroy": "to destroy",
}


def render_text(plan: Plan) -> str:
    """Return the plan as lines, the last one a summary."""
    width = max((len(action.name) for action in plan.actions), default=0)
    lines = [_line(action, width) for action in plan.actions]
    lines += [f"· {note}" for note in (*plan.notes, *plan.orphans)]
    lines += [f"! {problem}" for problem in plan.problems]
    return "\n".join([*lines, summary(plan)])


def summary(plan: Plan) -> str:
    """Return one sentence: what there is to do, or that there is nothing."""
    if plan.problems:
        return f"Nothing is done: {counted(len(plan.problems), 'problem')} to solve first."
    wait = len(plan.waiting)
    waits = f", {wait} wait{'s' if wait == 1 else ''} for a restart" if wait else ""
    if plan.is_empty:
        return f"Nothing to do: {counted(plan.wanted - wait)} as wanted{waits}."
    verbs = Counter(action.verb for action in plan.actions)
    counts = [f"{verbs[verb]} {said}" for verb, said in _SAID.items() if verbs[verb]]
    of_wanted = sum(action.verb != "destroy" for action in plan.actions)
    return f"Plan: {', '.join(counts)}, {plan.wanted - of_wanted - wait} as wanted{waits}."


def counted(count: int, noun: str = "VM") -> str:
    """Say how many there are of something."""
    return f"{count} {noun}{'s' if count != 1 else ''}"


def _line(action: Action, width: int) -> str:
    return f"{SIGNS[action.verb]} {action.name:<{width}}  {sentence(action)}"


def sentence(action: Action) -> str:
    """Say in one line what happens to a VM."""
    if action.verb == "update":
        said = [words for step in action.steps for words in step_words(step)]
        said = [*(waiting_words(key) for key in action.waiting), *said]
        return ", ".join(said) or "a tag of ours removed"
    if action.verb == "destroy":
        return f"destroy VM {action.vmid} on {action.node} {action.about}"
    return action.about


def waiting_words(key: str) -> str:
    """Say that a value waits for a restart already."""
    return f"{key} is pending already"


def step_words(step: Step) -> Iterator[str]:
    """Say what a step does, each change on its own; nothing of tags that are ours alone."""
    match step:
        case Configure():
            yield from (change_words(change) for change in step.changes if is_told(change))
        case Grow():
            before = size_text(step.before_bytes) if step.before_bytes else "?"
            yield f"{step.slot} {before} → {size_text(step.size_bytes)}"
        case MoveDisk():
            form = f" as {step.format}" if step.format else ""
            yield f"{step.slot} moves from {step.before or '?'} to {step.storage}{form}"
        case Erase():
            yield f"{step.slot} ({_text(step.disk)}) deleted with its data{_HINTS[step.when]}"
        case ManageHa():
            yield _ha_words(step)
        case Migrate():
            live = " while it runs" if step.online else ""
            pairs = ", ".join(pair.replace(":", " to ") for pair in step.storages)
            storages = f", from storage {pairs}" if pairs else ""
            yield f"moves from {step.source} to {step.target}{live}{storages}"
        case _:
            yield from (words for kind, words in _PLAIN.items() if isinstance(step, kind))


def _ha_words(step: ManageHa) -> str:
    before, after = step.before or Ha(), step.after or Ha()
    if step.after is None:
        return f"HA removed (it was {before.state})"
    names = tuple(f.name for f in fields(Ha) if getattr(before, f.name) != getattr(after, f.name))
    if step.before is None:
        return f"HA added ({', '.join(_options(after, names))})"
    sides = (f"{n} {_text(getattr(before, n))} → {_text(getattr(after, n))}" for n in names)
    return f"HA {', '.join(sides)}"


_PLAIN: dict[type[Step], str] = {
    Shutdown: "shut down",
    Start: "start",
    Reboot: "reboot",
    MakeTemplate: "convert to a template",
}


def is_told(change: Change) -> bool:
    """Tell whether a change is of interest: the tags and the mark of ours are not.

    Nor is a boot order that is written so that it stays.
    """
    if change.key == MARK or (change.key == booting.KEY and change.before == change.after):
        return False
    return change.key != "tags" or _tags(change.before) != _tags(change.after)


def _tags(value: Value) -> tuple[str, ...]:
    return tuple(tag for tag in as_tags(value) if not is_system_tag(tag))


_HINTS: dict[When, str] = {
    "now": "",
    "restart": " (needs a reboot)",
    "held": " (waits for a restart)",
}


def change_words(change: Change) -> str:
    """Say what becomes of one key."""
    hint = _HINTS[change.when]
    if change.key == "sshkeys":
        return f"sshkeys changed{hint}"
    if change.key == "tags":
        before, after = _tags(change.before), _tags(change.after)
        return f"tags {_text(before)} → {_text(after)}"
    if change.after is None:
        kept = ""
        if isinstance(change.before, Disk) and change.before.media == "disk":
            kept = ", kept as an unused disk"
        return f"{change.key} {_text(change.before)} removed{kept}{hint}"
    if change.before is None:
        return f"{change.key} {_text(change.after)} added{hint}"
    if change.before == change.after:
        return f"{change.key} {_text(change.after)} stays after all"
    return f"{change.key} {_text(change.before)} → {_text(change.after)}{hint}"


def _text(value: Value) -> str:
    if isinstance(value, Disk | Nic | IpConfig | Device):
        return _device(value)
    if isinstance(value, Reference):
        return f"from ${value.env}"
    if isinstance(value, VaultReference):
        return f"from Vault, {value.vault}"
    if isinstance(value, tuple):
        return ";".join(value) or "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    text = "nothing" if value is None else str(value)
    return text if text.isprintable() else repr(text)  # a description must not look like a plan


def _device(value: Disk | Nic | IpConfig | Device) -> str:
    if isinstance(value, Disk):
        return _disk(value)
    if isinstance(value, Nic):
        parts = [value.model, f"on {value.bridge}", "with firewall" if value.firewall else ""]
        parts += [
            f"VLAN {value.vlan}" if value.vlan else "",
            f"MTU {value.mtu}" if value.mtu else "",
            *_options(value, ("trunks", "rate", "queues", "link_down")),
        ]
        return " ".join(part for part in [*parts, value.mac or ""] if part)
    if isinstance(value, IpConfig):
        named = (("", value.ip), ("gw ", value.gw), ("", value.ip6), ("gw ", value.gw6))
        return " ".join(f"{word}{address}" for word, address in named if address)
    if isinstance(value, Cpu):
        return " ".join([value.type, *(value.flags or ())])
    return " ".join(_options(value, tuple(field.name for field in fields(value))))


def _disk(disk: Disk) -> str:
    size = size_text(disk.size_bytes) if disk.size_bytes else ""
    place = f"on {disk.storage}" if disk.storage else ""
    volume = disk.volume if disk.media in ("iso", "passthrough") and disk.volume else ""
    options = _options(disk, OPTIONS)
    return " ".join(part for part in [disk.media, size, place, volume, *options] if part)


def _options(holder: object, names: tuple[str, ...]) -> list[str]:
    """Return the fields that say something."""
    values = {name: getattr(holder, name) for name in names}
    return [f"{name}={_text(value)}" for name, value in values.items() if value is not None]
