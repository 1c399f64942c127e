"""Resources of high availability: what becomes of one, and who switches the power of its VM.

The cluster keeps the power of a VM as the state of its resource says, so a VM that has one is
started and stopped by that state, in one step with the rest.
"""

from dataclasses import dataclass, fields, replace

from stackyard.definitions.availability import NO_RESOURCE, POWER_OF
from stackyard.definitions.hardware import Ha
from stackyard.definitions.model import Definition, PowerState
from stackyard.plan.values import ManageHa, Shutdown, Start, Step

IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Power:
    """The steps that switch a VM off before its changes, and on after them."""

    first: tuple[Step, ...] = ()
    last: tuple[Step, ...] = ()


def power_of(definition: Definition) -> PowerState | None:
    """Return the wanted power; a template has none, and no running VM becomes one."""
    return "stopped" if definition.template else definition.vm_state


def power_steps(definition: Definition, found: Ha | None, status: PowerState) -> Power:
    """Return the steps from the power and the resource that are there to the wanted ones."""
    wanted = _wanted(definition, found, status)
    stops = (status, power_of(definition)) == ("running", "stopped")
    starts = (status, power_of(definition)) == ("stopped", "running")
    change: tuple[Step, ...] = () if wanted == found else (ManageHa(found, wanted),)
    is_left = _is_kept(found) and not _is_kept(wanted)
    by_cluster = bool(change) and _is_kept(wanted)
    first, last = (change, ()) if is_left or (_is_kept(found) and stops) else ((), change)
    if stops and not (by_cluster and first):
        first = (*first, Shutdown())
    if starts and not (by_cluster and last):
        last = (*last, Start())
    return Power(first, last)


def _is_kept(ha: Ha | None) -> bool:
    """Tell whether the cluster sees to the VM's power."""
    return ha is not None and ha.state != IGNORED


def _wanted(definition: Definition, found: Ha | None, status: PowerState) -> Ha | None:
    asked = definition.ha
    if asked is None:
        return found
    if asked.state == NO_RESOURCE:
        return None
    given = {f.name: v for f in fields(Ha) if (v := getattr(asked, f.name)) is not None}
    there = found or Ha(state=_state(status))
    if "state" not in given and definition.vm_state and there.state != IGNORED:
        is_so = POWER_OF.get(there.state or "") == definition.vm_state
        given["state"] = there.state if is_so else _state(definition.vm_state)
    return replace(there, **given)


def _state(power: PowerState) -> str:
    return "started" if power == "running" else "stopped"
