"""The nodes of a cluster, and the VMs that each of them lists.

The nodes are the first that is asked of a server, which may be none of Proxmox.
"""

import re
from collections.abc import Mapping
from typing import Any

from stackyard.proxmox.client import Client, no_api
from stackyard.proxmox.errors import ApiError

UNREACHABLE = range(595, 600)  # statuses of a node that the one we ask cannot reach

Rows = list[dict[str, Any]]


def read_nodes(client: Client) -> Rows:
    """Return what `GET /nodes` tells of each node.

    Raises:
        ProxmoxError: Proxmox refused or did not answer, or something else answered.
    """
    rows = client.get("/nodes")
    if not isinstance(rows, list) or not all("node" in row for row in rows):
        raise no_api(client.settings.url)
    return rows


def read_vms(client: Client, node: str) -> Rows | None:
    """Return what `GET /nodes/N/qemu` tells of each VM; None where the node does not answer.

    Raises:
        ProxmoxError: Proxmox refused or did not answer.
    """
    try:
        return list(client.get(f"/nodes/{node}/qemu"))
    except ApiError as error:
        if error.status in UNREACHABLE:
            return None
        raise


def name_of(row: Mapping[str, Any]) -> str | None:
    """Return a listed VM's own name; None where it has none, or Proxmox has forgotten it."""
    name = row.get("name")
    return None if name in (None, "", f"VM {row['vmid']}") else str(name)


def tags_of(row: Mapping[str, Any]) -> list[str]:
    """Return a listed VM's tags, in Proxmox's order."""
    return [tag for tag in re.split("[;, ]", str(row.get("tags") or "")) if tag]
