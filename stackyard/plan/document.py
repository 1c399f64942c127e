"""A plan as a JSON document and back, without loss: `from_json(to_json(plan)) == plan`."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict, fields
from typing import Any, get_args

from stackyard.definitions.hardware import Device
from stackyard.definitions.model import Disk, IpConfig, Nic, Reference, VaultReference
from stackyard.plan.effects import effects_of, effects_of_waiting
from stackyard.plan.errors import PlanError
from stackyard.plan.values import (
    Action,
    Change,
    Clone,
    Configure,
    Create,
    Delete,
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
    Unlock,
    Value,
    Waiting,
)

VERSION = 5
_STEPS: dict[str, type[Step]] = {
    "clone": Clone,
    "create": Create,
    "configure": Configure,
    "grow": Grow,
    "move-disk": MoveDisk,
    "erase": Erase,
    "migrate": Migrate,
    "manage-ha": ManageHa,
    "start": Start,
    "shutdown": Shutdown,
    "reboot": Reboot,
    "make-template": MakeTemplate,
    "unlock": Unlock,
    "delete": Delete,
}
_STEP_NAMES = {kind: name for name, kind in _STEPS.items()}
_DEVICES: dict[str, type[Any]] = {
    kind.__name__.lower(): kind
    for kind in (Disk, Nic, IpConfig, Reference, VaultReference, *get_args(Device))
}


def to_json(plan: Plan) -> str:
    """Return the plan as indented JSON; `summary` counts actions by verb for those who only ask."""
    document = {
        "version": VERSION,
        "summary": dict(sorted(Counter(action.verb for action in plan.actions).items())),
        "wanted": plan.wanted,
        "problems": list(plan.problems),
        "notes": list(plan.notes),
        "orphans": list(plan.orphans),
        "waiting": [_waiting(waiting) for waiting in plan.waiting],
        "blocked": list(plan.blocked),
        "waves": [[_action(action) for action in wave] for wave in plan.waves],
        "cluster": list(plan.cluster),
    }
    return json.dumps({**document, "checksum": _checksum(document)}, indent=2, ensure_ascii=False)


def from_json(text: str) -> Plan:
    """Read what `to_json` wrote.

    Raises:
        PlanError: it is not a plan of this version, or not as it was written.
    """
    try:
        document = json.loads(text)
        checksum = document.pop("checksum", None)
        if document["version"] != VERSION:
            raise PlanError(
                f"the plan has version {document['version']}, not {VERSION}: make it anew"
            )
        if checksum != _checksum(document):
            raise PlanError("the plan was changed after it was made: make it anew")
        return Plan(
            waves=tuple(tuple(_read_action(a) for a in wave) for wave in document["waves"]),
            problems=tuple(document["problems"]),
            notes=tuple(document["notes"]),
            orphans=tuple(document["orphans"]),
            waiting=tuple(Waiting(w["name"], tuple(w["keys"])) for w in document["waiting"]),
            blocked=tuple(document["blocked"]),
            wanted=document["wanted"],
            cluster=tuple(document["cluster"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PlanError("this is not a plan: make one with `stackyard plan --out`") from error


def _checksum(document: dict[str, Any]) -> str:
    """Return a checksum of what a document says, however it is laid out."""
    plain = json.dumps(document, sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()


def step_name(step: Step) -> str:
    """Return what a step is called in documents, progress and logs."""
    return _STEP_NAMES[type(step)]


def _action(action: Action) -> dict[str, Any]:
    plain = {field.name: getattr(action, field.name) for field in fields(action)}
    effects = [asdict(effect) for effect in effects_of(action)]
    return {**plain, "effects": effects, "steps": [_step(step) for step in action.steps]}


def _waiting(waiting: Waiting) -> dict[str, Any]:
    effects = [asdict(effect) for effect in effects_of_waiting(waiting.keys)]
    return {"name": waiting.name, "keys": list(waiting.keys), "effects": effects}


def _step(step: Step) -> dict[str, Any]:
    plain = {field.name: plain_value(getattr(step, field.name)) for field in fields(step)}
    if isinstance(step, Configure | Create):
        plain["changes"] = [_change(change) for change in step.changes]
    return {"step": step_name(step), **plain}


def _change(change: Change) -> dict[str, Any]:
    plain = {
        "key": change.key,
        "before": plain_value(change.before),
        "after": plain_value(change.after),
    }
    if change.keep:
        plain["keep"] = change.keep
    return {**plain, "when": change.when}


def plain_value(value: Value) -> Any:
    """Return a value as JSON has it: a device is a mapping of its kind to its parts."""
    for name, kind in _DEVICES.items():
        if isinstance(value, kind):
            return {name: {k: v for k, v in asdict(value).items() if v is not None}}
    return list(value) if isinstance(value, tuple) else value


def _read_action(plain: dict[str, Any]) -> Action:
    arguments = {key: value for key, value in plain.items() if key != "effects"}
    arguments["steps"] = tuple(_read_step(step) for step in plain["steps"])
    arguments.update({key: tuple(plain[key]) for key in ("waiting", "frees")})
    return Action(**arguments)


def _read_step(plain: dict[str, Any]) -> Step:
    arguments = {key: _read_value(value) for key, value in plain.items() if key != "step"}
    if "changes" in arguments:
        arguments["changes"] = tuple(_read_change(change) for change in plain["changes"])
    return _STEPS[plain["step"]](**arguments)


def _read_change(plain: dict[str, Any]) -> Change:
    return Change(
        plain["key"],
        _read_value(plain["before"]),
        _read_value(plain["after"]),
        plain.get("keep", ""),
        plain["when"],
    )


def _read_value(plain: Any) -> Any:
    if isinstance(plain, dict):
        ((name, arguments),) = plain.items()
        lists = {key: tuple(item) for key, item in arguments.items() if isinstance(item, list)}
        return _DEVICES[name](**{**arguments, **lists})
    return tuple(plain) if isinstance(plain, list) else plain
