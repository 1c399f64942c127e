"""Resources of high availability as Proxmox has them: read in one list, and written.

`/cluster/ha/resources` has one for each VM, `vm:VMID`; keys that it does not tell have the defaults
of Proxmox's API schema.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stackyard.definitions.availability import HA, with_todays_state
from stackyard.definitions.hardware import Ha
from stackyard.plan.observed import Observed, ObservedVm
from stackyard.proxmox.client import Client
from stackyard.proxmox.properties import Fields

PATH = "/cluster/ha/resources"
_DEFAULTS = Ha(state="started", max_restart=1, max_relocate=1, failback=True)
_FIELDS = Fields(HA.keys)


def observe_ha(client: Client, observed: Observed) -> Observed:
    """Add the resources of the VMs, with one call.

    Raises:
        ProxmoxError: Proxmox refused or did not answer.
    """
    rows = {str(row["sid"]): row for row in client.get(PATH, type="vm")}
    return replace(observed, vms=tuple(_with_ha(vm, rows) for vm in observed.vms))


def _with_ha(vm: ObservedVm, rows: Mapping[str, dict[str, Any]]) -> ObservedVm:
    row = rows.get(sid_of(vm.vmid))
    return replace(vm, ha=None if row is None else decode_ha(row))


def decode_ha(row: Mapping[str, Any]) -> Ha:
    """Read a resource."""
    given = _FIELDS.take({key: str(value) for key, value in row.items() if value is not None})
    return with_todays_state(replace(_DEFAULTS, **given))


def encode_ha(ha: Ha) -> dict[str, str]:
    """Return the parameters of a resource."""
    return {name: text for name, text in _FIELDS.write(ha).items() if text is not None}


def sid_of(vmid: int) -> str:
    """Return what the resource of a VM is called."""
    return f"vm:{vmid}"
