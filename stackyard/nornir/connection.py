"""The Nornir connection `proxmox`: one client for all hosts, opened by whoever made the inventory.

The client is handed over in the connection's extras, ready and logged in, because Nornir logs and
prints what stands in an inventory; `Client` shows no more of itself than its URL.
"""

from typing import Any

from stackyard.proxmox.client import Client


class ProxmoxConnection:
    """Gives tasks the shared client by `task.host.get_connection("proxmox", …)`."""

    def open(self, extras: dict[str, Any] | None = None, **_address: object) -> None:
        """Take the client.

        Raises:
            TypeError: the extras have none.
        """
        client = (extras or {}).get("client")
        if not isinstance(client, Client):
            raise TypeError("the connection `proxmox` needs a Client as its extra `client`")
        self.connection: Client = client

    def close(self) -> None:
        """Leave the client open: it belongs to whoever made it."""
