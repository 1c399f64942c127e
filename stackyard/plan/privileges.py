"""What Proxmox takes from root@pam with its password alone, and from no token.

As the checks of permissions in Proxmox VE 9 have it: some options by their name, devices of the
node by their value.
"""

import re
from collections.abc import Iterable, Iterator

from stackyard.definitions.hardware import Pci, Usb
from stackyard.definitions.model import Definition, Disk
from stackyard.plan.values import Plan, Unlock, Value
from stackyard.plan.waves import changes_of

_OPTIONS = frozenset({"args", "affinity", "hugepages", "hookscript"})
_SERIAL = re.compile(r"serial\d")


def root_only(definitions: Iterable[Definition], plan: Plan) -> tuple[str, ...]:
    """Return a sentence for each change of a plan that only root itself may make."""
    known = {definition.name: definition for definition in definitions}
    changes = tuple(
        f"{known[action.name].source.at(change.key)}: {action.name}: {why}: log in as root@pam "
        f"with PROXMOX_PASSWORD, or take {change.key} out"
        for action in plan.actions
        if action.name in known
        for change in changes_of(action)
        if (why := _why(change.key, change.after))
    )
    return (*_locked(plan), *changes)


def _locked(plan: Plan) -> Iterator[str]:
    for action in plan.actions:
        for step in action.steps:
            if isinstance(step, Unlock):
                yield (
                    f"{action.name}: VM {action.vmid} on {action.node} was left locked "
                    f"({step.lock}), no task that we may see is making it, and only root can take "
                    f"that lock off: if nobody else works on it, run `qm unlock {action.vmid} && "
                    f"qm destroy {action.vmid}` as root on {action.node}, or apply once as "
                    "root@pam with PROXMOX_PASSWORD"
                )


def _why(key: str, value: Value) -> str | None:
    if key in _OPTIONS:  # taking it out, too
        return f"Proxmox takes {key} from root@pam itself alone, never from a token"
    if value is None:
        return None
    if is_device_of_node(key, value) or (isinstance(value, Pci) and value.romfile is not None):
        return f"{key} is a device of the node, which root@pam itself alone may give, never a token"
    if isinstance(value, Disk) and (value.import_from or "").startswith("/"):
        return f"{key} is imported from a path, which root@pam itself alone may, never a token"
    return None


def is_device_of_node(key: str, value: Value) -> bool:
    """Tell whether a device is one that only its node has, given by its address or its path."""
    if isinstance(value, Pci):
        return value.host is not None
    if isinstance(value, Usb):
        return value.host is not None and value.host.lower() != "spice"
    if isinstance(value, Disk):
        return value.media == "passthrough"
    return bool(_SERIAL.fullmatch(key)) and value not in ("socket", None)
