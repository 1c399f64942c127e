"""Whether a cluster without VMs is an empty one, or one that we are not shown.

Proxmox leaves out of its lists what a token may not see, and answers 200.
"""

from stackyard.plan.observed import Observed
from stackyard.proxmox.client import Client
from stackyard.proxmox.errors import ProxmoxError

_PLACES = ("/vms", "/pool")  # whose permissions, or those of what is below them, show VMs
_BELOW = tuple(f"{place}/" for place in _PLACES)


def check_sight(client: Client, observed: Observed) -> None:
    """Refuse to take VMs for missing that nobody may see; one call, where there are none at all.

    `GET /access/permissions` tells everybody their own permissions, by path; a privilege's value is
    whether it holds for what is below the path too.

    Raises:
        ProxmoxError: no permission of ours shows VMs, or Proxmox did not answer.
    """
    if observed.vms:
        return
    permissions = client.get("/access/permissions")
    for path, privileges in permissions.items():
        holds_below = bool(privileges.get("VM.Audit")) and path in ("/", *_PLACES)
        if holds_below or ("VM.Audit" in privileges and path.startswith(_BELOW)):
            return
    raise ProxmoxError(
        "Proxmox shows no VM at all, for the token or user lacks the privilege VM.Audit: give it "
        "the role PVEVMAdmin on / (a token with privilege separation has only permissions of its "
        "own)"
    )
