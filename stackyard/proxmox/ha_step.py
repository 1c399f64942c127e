"""The step on a VM's resource of high availability.

The cluster switches the power of the VM as the resource's state says, some time later.
"""

from dataclasses import fields

from stackyard.definitions.availability import POWER_OF
from stackyard.definitions.hardware import Ha
from stackyard.plan.values import ManageHa
from stackyard.proxmox.errand import Errand
from stackyard.proxmox.errors import ApiError
from stackyard.proxmox.ha import PATH, decode_ha, encode_ha, sid_of
from stackyard.proxmox.power import until

_ATTEMPTS = 5  # each writer of another VM's resource gives all of them a new digest


def manage_ha(errand: Errand, step: ManageHa) -> None:
    """Make the VM's resource the wanted one, and wait for the power that its state asks for.

    Raises:
        WorldMovedError: somebody else made, changed or removed it.
        TaskError: the cluster did not switch the power.
    """
    sid = sid_of(errand.action.vmid)
    if step.after is None:
        errand.client.delete(f"{PATH}/{sid}")
    elif step.before is None:
        _add(errand, sid, step.after)
    else:
        _change(errand, sid, step.before, step.after)
    power = POWER_OF.get(step.after.state or "") if step.after else None
    if power:
        until(errand, power)
        errand.digest = None  # Proxmox writes waiting changes down when a VM stops


def _add(errand: Errand, sid: str, wanted: Ha) -> None:
    try:
        errand.client.post(PATH, sid=sid, **encode_ha(wanted))
    except ApiError as error:
        if "already defined" in error.reason:
            raise errand.moved("it has a resource of high availability now") from error
        raise


def _change(errand: Errand, sid: str, before: Ha, after: Ha) -> None:
    """Write what differs, if the resource is still the one of the plan."""
    changed = encode_ha(Ha(**{
        f.name: getattr(after, f.name)
        for f in fields(Ha)
        if getattr(after, f.name) != getattr(before, f.name)
    }))  # fmt: skip
    for attempt in range(_ATTEMPTS):
        row = errand.client.get(f"{PATH}/{sid}")
        if decode_ha(row) != before:
            raise errand.moved("its resource of high availability changed since the plan was made")
        try:
            errand.client.put(f"{PATH}/{sid}", digest=row["digest"], **changed)
        except ApiError as error:
            if not error.is_stale or attempt == _ATTEMPTS - 1:
                raise
        else:
            return
