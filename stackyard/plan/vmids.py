"""Which VMID a new VM gets: a rule, not a reservation.

Proxmox's `GET /cluster/nextid` reserves nothing, so two runs at once would both take its answer and
make one VM twice. A number derived from the name makes them ask for the same VMID, and Proxmox
refuses the second.
"""

from collections.abc import Iterable
from hashlib import sha256

from stackyard.definitions.model import Definition
from stackyard.plan.errors import PlanError
from stackyard.plan.observed import Observed


def assign_vmids(
    definitions: Iterable[Definition], observed: Observed, vmids: range
) -> dict[str, int]:
    """Return the VMID of every managed definition: the real one, the wished one, or a derived one.

    Raises:
        PlanError: the range has no number left.
    """
    managed = sorted((d for d in definitions if d.managed), key=lambda d: d.name)
    assigned = {d.name: ours[0].vmid for d in managed if (ours := observed.ours(d.name))}
    for definition in managed:
        if definition.vmid is not None:
            assigned.setdefault(definition.name, definition.vmid)
    owners = {vm.vmid: vm.name for vm in observed.vms if not (vm.is_unfinished and not vm.name)}
    owners.update(dict.fromkeys(observed.taken))
    owners.update({vmid: name for name, vmid in assigned.items()})
    for definition in managed:
        if definition.name not in assigned:
            vmid = _derive(definition.name, owners, vmids)
            assigned[definition.name] = vmid
            owners[vmid] = definition.name
    return assigned


def _derive(name: str, owners: dict[int, str | None], vmids: range) -> int:
    first = int.from_bytes(sha256(name.encode()).digest(), "big") % len(vmids)
    for offset in range(len(vmids)):
        vmid = vmids[(first + offset) % len(vmids)]
        if vmid not in owners or owners[vmid] == name:
            return vmid
    raise PlanError(
        f"no VMID between {vmids.start} and {vmids[-1]} is free for {name}: "
        "widen vmid_range in inventory/site.yml"
    )
