"""Storages: …/storage of a node and of the cluster, and what they hold."""

from collections.abc import Mapping

from stackyard.lab.api import views
from stackyard.lab.api.call import Call
from stackyard.lab.api.faults import ApiError, invalid
from stackyard.lab.api.values import split_list
from stackyard.lab.platform import Storage

Body = Mapping[str, object]


async def storages(call: Call) -> list[Body]:
    """GET /nodes/N/storage."""
    if not call.identity.allowed:
        return []
    wanted = set(split_list(call.params.get("content", "")))
    only = call.params.get("storage")
    return [
        views.storage_entry(call.cluster, call.node, storage)
        for storage in call.cluster.volumes.of_node(call.node)
        if (not wanted or wanted & set(storage.content)) and only in (None, storage.name)
    ]


async def storage_status(call: Call) -> Body:
    """GET /nodes/N/storage/S/status."""
    found = call.cluster.volumes.storages.get(call.path["storage"])
    if found is None:
        raise invalid(storage="No such storage.")
    call.cluster.volumes.storage(found.name, call.node)
    entry = views.storage_entry(call.cluster, call.node, found)
    return {k: v for k, v in entry.items() if k not in ("storage", "used_fraction")}


async def content(call: Call) -> list[Body]:
    """GET /nodes/N/storage/S/content."""
    volumes = call.cluster.volumes
    storage = volumes.storage(call.path["storage"], call.node)
    kind, vmid = call.params.get("content"), call.params.get("vmid")
    found: list[Body] = []
    for volume in volumes.content(call.node, storage.name):
        if kind not in (None, volume.content) or vmid not in (None, str(volume.vmid)):
            continue
        entry: dict[str, object] = {
            "volid": volume.volid,
            "content": volume.content,
            "format": volume.format,
            "size": volume.size,
            "ctime": volume.ctime,
        }
        if volume.content == "images":
            entry |= {"vmid": volume.vmid, "parent": volume.parent, "used": 4096}
        found.append(entry)
    return found


async def all_storages(call: Call) -> list[Body]:
    """GET /storage: the storage configuration of the cluster."""
    if not call.identity.allowed:
        return []
    return [_storage_config(storage) for storage in call.cluster.volumes.storages.values()]


def _storage_config(storage: Storage) -> Body:
    entry: dict[str, object] = {
        "storage": storage.name,
        "type": storage.type,
        "content": ",".join(storage.content),
    }
    if storage.nodes:
        entry["nodes"] = ",".join(storage.nodes)
    if storage.shared:
        entry["shared"] = 1
    return entry | ({"path": storage.path} if storage.type == "dir" else {})


async def add_storage(call: Call) -> Body:
    """POST /storage: one more storage, as large as the first."""
    name, volumes = call.params["storage"], call.cluster.volumes
    if name in volumes.storages:
        raise ApiError(f"create storage failed: storage ID '{name}' already defined")
    kind = call.params["type"]
    volumes.storages[name] = Storage(
        name=name,
        type="dir" if kind == "dir" else "lvmthin",
        content=tuple(split_list(call.params.get("content", "images"))),
        path=call.params.get("path", f"/dev/{name}"),
        size_bytes=next(iter(volumes.storages.values())).size_bytes,
        nodes=tuple(split_list(call.params.get("nodes", ""))),
        shared=call.flag("shared"),
    )
    return {"storage": name, "type": kind}
