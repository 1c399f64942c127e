"""The machine type of a Windows guest: Proxmox gives it the version of that day, and keeps it.

It does so when it makes the VM, and when the guest system becomes Windows
(`check_and_pin_machine_string` of qemu-server).
"""

from dataclasses import replace

from stackyard.definitions.hardware import Machine
from stackyard.plan.values import Value

_WINDOWS = frozenset({"wxp", "w2k", "w2k3", "w2k8", "wvista", "win7", "win8", "win10", "win11"})
_VERSIONED = {"pc": "pc-i440fx-", "q35": "pc-q35-", "virt": "virt-"}


def with_version(wanted: Value, found: Value, ostype: Value) -> Value:
    """Return the wanted machine, of a Windows guest with the version that it has."""
    if ostype not in _WINDOWS or not (isinstance(wanted, Machine) and isinstance(found, Machine)):
        return wanted
    versioned = _VERSIONED.get(wanted.type or "")
    is_kept = versioned is not None and (found.type or "").startswith(versioned)
    return replace(wanted, type=found.type) if is_kept else wanted
