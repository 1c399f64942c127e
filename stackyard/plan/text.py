"""A plan as text for people: one line a VM, then what is left alone, what is wrong, and a sum."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields

from stackyard.definitions.hardware import Cpu, Device
from stackyard.definitions.model import Disk, IpConfig, Nic, Reference
from stackyard.plan.differ import needs_restart
from stackyard.plan.disks import OPTIONS, size_text
from stackyard.plan.observed import SYSTEM_TAGS
from stackyard.plan.values import (
    Action,
    Change,
    Configure,
    Grow,
    MakeTemplate,
    Plan,
    Reboot,
    Shutdown,
    Start,
    Step,
    Value,
    Verb,
)

_SIGNS: dict[Verb, str] = {"create": "+", "finish": "+", "update": "~", "destroy": "-"}
_SAID: dict[Verb, str] = {
    "create": "to create",
    "finish": "to finish",
    "update": "to change",
    "destroy": "to destroy",
}


def render_text(plan: Plan) -> str:
    """Return the plan as lines, the last one a summary."""
    width = max((len(action.name) for action in plan.actions), default=0)
    lines = [_line(action, width) for action in plan.actions]
    lines += [f"· {note}" for note in plan.notes]
    lines += [f"! {problem}" for problem in plan.problems]
    return "\n".join([*lines, summary(plan)])


def summary(plan: Plan) -> str:
    """Return one sentence: what there is to do, or that there is nothing."""
    if plan.problems:
        count = len(plan.problems)
        return f"Nothing is done: {count} problem{'s' if count > 1 else ''} to solve first."
    if plan.is_empty:
        return f"Nothing to do: {plan.wanted} VM{'s' if plan.wanted != 1 else ''} as wanted."
    verbs = Counter(action.verb for action in plan.actions)
    counts = [f"{verbs[verb]} {said}" for verb, said in _SAID.items() if verbs[verb]]
    return f"Plan: {', '.join(counts)}, {plan.wanted - verbs.total()} as wanted."


def _line(action: Action, width: int) -> str:
    said = action.about
    if action.verb == "update":
        said = ", ".join(words for step in action.steps for words in _words(step, action))
        said = said or "a tag of ours removed"
    elif action.verb == "destroy":
        said = f"destroy VM {action.vmid} on {action.node} {action.about}"
    return f"{_SIGNS[action.verb]} {action.name:<{width}}  {said}"


def _words(step: Step, action: Action) -> Iterator[str]:
    restarts = any(isinstance(other, Reboot) for other in action.steps)
    if isinstance(step, Configure):
        yield from (_change(change, restarts) for change in step.changes if _is_told(change))
    elif isinstance(step, Grow):
        before = size_text(step.before_bytes) if step.before_bytes else "?"
        yield f"{step.slot} {before} → {size_text(step.size_bytes)}"
    elif isinstance(step, Shutdown):
        yield "shut down"
    elif isinstance(step, Start):
        yield "start"
    elif isinstance(step, Reboot):
        yield "reboot"
    elif isinstance(step, MakeTemplate):
        yield "convert to a template"


def _is_told(change: Change) -> bool:
    return change.key != "tags" or _tags(change.before) != _tags(change.after)


def _tags(value: Value) -> tuple[str, ...]:
    tags = value if isinstance(value, tuple) else ()
    return tuple(tag for tag in tags if tag not in SYSTEM_TAGS)


def _change(change: Change, restarts: bool) -> str:
    if change.key == "sshkeys":
        return "sshkeys changed (needs a reboot)" if restarts else "sshkeys changed"
    hint = " (needs a reboot)" if restarts and needs_restart(change) else ""
    if change.key == "tags":
        before, after = _tags(change.before), _tags(change.after)
        return f"tags {_text(before)} → {_text(after)}"
    if change.after is None:
        return f"{change.key} {_text(change.before)} removed{hint}"
    if change.before is None:
        return f"{change.key} {_text(change.after)} added{hint}"
    return f"{change.key} {_text(change.before)} → {_text(change.after)}{hint}"


def _text(value: Value) -> str:
    if isinstance(value, Disk | Nic | IpConfig | Device):
        return _device(value)
    if isinstance(value, Reference):
        return f"from ${value.env}"
    if isinstance(value, tuple):
        return ";".join(value) or "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return "nothing" if value is None else str(value)


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
