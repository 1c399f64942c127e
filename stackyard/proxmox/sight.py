"""Whether a cluster without VMs, or a VM without a pool, is one, or we are not shown them.

Proxmox leaves out of its lists what a token may not see, and answers 200.
"""

from collections.abc import Mapping

from stackyard.plan.observed import Observed
from stackyard.proxmox.client import Client
from stackyard.proxmox.errors import ProxmoxError

_PLACES = ("/vms", "/pool")  # whose permissions, or those of what is below them, show VMs
_BELOW = tuple(f"{place}/" for place in _PLACES)

Permissions = Mapping[str, Mapping[str, object]]


def check_sight(client: Client, observed: Observed) -> None:
    """Refuse to take VMs for missing that nobody may see; one call, where there are none at all.

    Raises:
        ProxmoxError: no permission of ours shows VMs, or Proxmox did not answer.
    """
    if observed.vms:
        return
    permissions = _permissions(client)
    for path, privileges in permissions.items():
        holds_below = bool(privileges.get("VM.Audit")) and path in ("/", *_PLACES)
        if holds_below or ("VM.Audit" in privileges and path.startswith(_BELOW)):
            return
    raise ProxmoxError(
        "Proxmox shows no VM at all, for the token or user lacks the privilege VM.Audit: give it "
        "the role PVEVMAdmin on / (a token with privilege separation has only permissions of its "
        "own)"
    )


def shows_pools(client: Client) -> bool:
    """Tell whether we are shown all pools, and which VMs are in them; one call.

    Raises:
        ProxmoxError: Proxmox refused or did not answer.
    """
    permissions = _permissions(client)
    return any(permissions.get(path, {}).get("Pool.Audit") for path in ("/", "/pool"))


def _permissions(client: Client) -> Permissions:
    """Return our permissions by path.

    `GET /access/permissions` tells everybody their own; a privilege's value is whether it holds for
    what is below the path too.
    """
    permissions: Permissions = client.get("/access/permissions")
    return permissions
