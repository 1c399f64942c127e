"""A step's two sides, before and after, as plain values for a log; secrets are never part of it."""

from collections.abc import Mapping

from stackyard.plan.document import plain_value
from stackyard.plan.values import (
    Clone,
    Configure,
    Create,
    Erase,
    Grow,
    MakeTemplate,
    ManageHa,
    Migrate,
    MoveDisk,
    Reboot,
    Shutdown,
    Start,
    Step,
    Unlock,
    Value,
)

Plain = Mapping[str, object]
_SECRETS = frozenset({"cipassword"})
_POWER: Mapping[type[Step], tuple[Plain, Plain]] = {
    Start: ({"power": "stopped"}, {"power": "running"}),
    Shutdown: ({"power": "running"}, {"power": "stopped"}),
    Reboot: ({"power": "running"}, {"power": "running"}),
    MakeTemplate: ({"template": False}, {"template": True}),
}


def sides(step: Step) -> tuple[Plain, Plain]:
    """Return what a step changes: the values before, and those after."""
    match step:
        case Configure() | Create():
            before = {c.key: _shown(c.key, c.before) for c in step.changes}
            return before, {c.key: _shown(c.key, c.after) for c in step.changes}
        case Clone():
            return {}, {"template": step.template, "full": step.full, "storage": step.storage}
        case Migrate() | Unlock() | ManageHa() | Grow() | MoveDisk() | Erase():
            what, one, other = _single(step)
            return {what: one}, {what: other}
        case _:
            return _POWER.get(type(step), ({"exists": True}, {"exists": False}))


def _single(
    step: Migrate | Unlock | ManageHa | Grow | MoveDisk | Erase,
) -> tuple[str, object, object]:
    """Return the one thing that a step changes: what it is, before and after."""
    match step:
        case Migrate():
            return "node", step.source, step.target
        case Unlock():
            return "lock", step.lock, None
        case ManageHa():
            return "ha", plain_value(step.before), plain_value(step.after)
        case Grow():
            return step.slot, step.before_bytes, step.size_bytes
        case MoveDisk():
            return step.slot, step.before, step.storage
        case Erase():
            return step.slot, plain_value(step.disk), None


def _shown(key: str, value: Value) -> object:
    return "(secret)" if key in _SECRETS and value is not None else plain_value(value)
