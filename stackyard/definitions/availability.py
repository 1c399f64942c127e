"""High availability: `ha` of a definition, a resource of the cluster and no option of the VM.

Keys, ranges and defaults are those of Proxmox's `/cluster/ha/resources`. The state of a resource is
the power of its VM, so what says one says the other.
"""

from collections.abc import Mapping as MappingType
from dataclasses import replace
from typing import Any

from stackyard.definitions.device_keys import Family
from stackyard.definitions.device_reader import read_device
from stackyard.definitions.document import Mapping
from stackyard.definitions.hardware import Ha
from stackyard.definitions.key_reader import Report
from stackyard.definitions.keys import Key
from stackyard.definitions.model import PowerState

NO_RESOURCE = "none"
# The power that a state asks for; of an ignored resource it is left alone.
POWER_OF: MappingType[str, PowerState] = {
    "started": "running",
    "stopped": "stopped",
    "disabled": "stopped",
}
HA = Family("ha", "High availability: the VM as a resource that the cluster keeps running.", Ha, (
    Key("state", "string", "What the cluster sees to, and so the power of the VM: without it "
        "`vm_state`, or as it is. `enabled` is `started`; `ignored` suspends it, `none` takes the "
        "VM out.", choices=("started", "stopped", "enabled", "disabled", "ignored", NO_RESOURCE)),
    Key("group", "string", "Group of nodes, where the cluster still has groups.",
        pattern=r"[A-Za-z][A-Za-z0-9_-]+", form="a group's name"),
    Key("max_restart", "integer", "Attempts to restart it on its node.", minimum=0),
    Key("max_relocate", "integer", "Attempts to start it on another node.", minimum=0),
    Key("failback", "switch", "Back to the node with the highest priority once that is there."),
    Key("comment", "string", "A comment.", longest=4096),
), first="state")  # fmt: skip


def read_ha(mapping: Mapping, report: Report) -> Ha | None:
    """Return the resource that a definition asks for."""
    value = mapping.get(HA.name)
    found = None if value is None else read_device(HA.name, value, mapping, HA, report)
    return with_todays_state(found) if isinstance(found, Ha) else None


def with_todays_state(ha: Ha) -> Ha:
    """Return a resource with its state as it is called today: `enabled` was once `started`."""
    return replace(ha, state="started") if ha.state == "enabled" else ha


def check_ha(values: dict[str, Any], mapping: Mapping, report: Report) -> None:
    """Report what contradicts the rest of a definition; the power of a resource is its VM's.

    What a VM's own file says wins over what all definitions of the site get.
    """
    ha: Ha | None = values.get("ha")
    if ha is None:
        return
    line = mapping.line_of(HA.name)
    if ha.state == NO_RESOURCE and ha != Ha(state=NO_RESOURCE):
        report.add(line, "ha has other keys beside state none, which takes the VM out: drop them")
    if values.get("template") and ha.state != NO_RESOURCE:
        values["ha"] = None
        if HA.name in mapping:
            report.add(line, "ha is for VMs that run, and this is a template: take it out")
        return
    power, wanted = POWER_OF.get(ha.state or ""), values.get("vm_state")
    if power is None or wanted == power:
        return
    if wanted is None or "vm_state" not in mapping:
        values["vm_state"] = power
    elif HA.name not in mapping:
        values["ha"] = replace(ha, state=None)
    else:
        report.add(line, f"ha has state {ha.state}, which contradicts vm_state {wanted}: drop one")
