"""What storages are like and have left: asked where a plan puts or takes something there."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from stackyard.plan.observed import Observed, StorageRoom
from stackyard.proxmox.client import Client

_THICK = frozenset({"lvm", "iscsi", "iscsidirect"})  # types that allocate a disk's whole size
_RAW = frozenset({"lvmthin", "zfspool", "zfs"})  # types that refuse to make any other disk
# Types whose disks are files, with the format as the ending (pvesm(1)).
_FILES = frozenset({"dir", "nfs", "cifs", "glusterfs", "btrfs"})


def observe_storages(client: Client, observed: Observed, nodes: Iterable[str]) -> Observed:
    """Add what the storages for images of some nodes have.

    `GET /nodes/N/storage` asks the node itself; a storage that does not answer is left out.

    Raises:
        ProxmoxError: Proxmox refused or did not answer.
    """
    found = {node: tuple(_rooms(client, node)) for node in sorted(set(nodes))}
    return replace(observed, storages=found)


def observe_shared(client: Client, observed: Observed) -> Observed:
    """Add which storages are shared, of which each node has volumes of its own, and their kinds.

    `GET /storage` reads the cluster's configuration and asks no storage; types that are always
    shared (nfs, cifs …) are marked there too.

    Raises:
        ProxmoxError: Proxmox refused or did not answer.
    """
    rows = client.get("/storage")
    shared = frozenset(str(row["storage"]) for row in rows if str(row.get("shared", 0)) == "1")
    local = frozenset(str(row["storage"]) for row in rows) - shared
    files = frozenset(str(row["storage"]) for row in rows if str(row.get("type")) in _FILES)
    return replace(observed, local_storages=local, shared_storages=shared, file_storages=files)


def _rooms(client: Client, node: str) -> Iterator[StorageRoom]:
    for row in client.get(f"/nodes/{node}/storage", content="images", enabled=True):
        if row.get("active") and row.get("total"):
            yield StorageRoom(
                name=str(row["storage"]),
                free_bytes=int(row.get("avail", 0)),
                total_bytes=int(row["total"]),
                thin=str(row.get("type")) not in _THICK,
                shared=str(row.get("shared", 0)) == "1",
                raw_only=str(row.get("type")) in _RAW,
            )
