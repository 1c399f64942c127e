"""The nodes of a cluster: the first that is asked of a server, which may be none of Proxmox."""

from typing import Any

from stackyard.proxmox.client import Client, no_api


def read_nodes(client: Client) -> list[dict[str, Any]]:
    """Return what `GET /nodes` tells of each node.

    Raises:
        ProxmoxError: Proxmox refused or did not answer, or something else answered.
    """
    rows = client.get("/nodes")
    if not isinstance(rows, list) or not all("node" in row for row in rows):
        raise no_api(client.settings.url)
    return rows
