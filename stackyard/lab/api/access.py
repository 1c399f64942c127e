"""Tickets, permissions and pools."""

from collections.abc import Mapping

from stackyard.lab.api import views
from stackyard.lab.api.auth import PRIVILEGES
from stackyard.lab.api.call import Call
from stackyard.lab.api.cluster import Pool
from stackyard.lab.api.faults import ApiError
from stackyard.lab.api.values import split_list

Body = Mapping[str, object]


async def ticket(call: Call) -> Body:
    """POST /access/ticket: the one call without authentication."""
    user, realm = call.params["username"], call.params.get("realm")
    if realm and "@" not in user:
        user = f"{user}@{realm}"
    return call.authority.login(user, call.params["password"])


async def permissions(call: Call) -> Body:
    """GET /access/permissions: all privileges on a path, or none at all."""
    if not call.identity.allowed:
        return {}
    return {call.params.get("path", "/"): dict.fromkeys(PRIVILEGES, 1)}


def _name(call: Call) -> str:
    """Return the name of a pool: of one inside another (`a/b`) it is a parameter."""
    return call.path.get("poolid") or call.params["poolid"]


def _pool(call: Call) -> Pool:
    name = _name(call)
    if name not in call.cluster.pools:
        raise ApiError(f"pool '{name}' does not exist")
    return call.cluster.pools[name]


async def pools(call: Call) -> list[Body]:
    """GET /pools."""
    only = call.params.get("poolid")
    return [
        {"poolid": name} | ({"comment": pool.comment} if pool.comment else {})
        for name, pool in call.cluster.pools.items()
        if call.identity.allowed and only in (None, name)
    ]


async def pool(call: Call) -> Body:
    """GET /pools/P: its members as /cluster/resources shows them."""
    found, cluster = _pool(call), call.cluster
    vms = [cluster.vms[vmid] for vmid in sorted(found.vmids) if vmid in cluster.vms]
    members = [{k: v for k, v in views.resource(cluster, vm).items() if k != "pool"} for vm in vms]
    storages = [
        {"id": f"storage/{node}/{name}", "type": "storage", "storage": name, "node": node}
        for name in sorted(found.storages)
        for node in cluster.platform.nodes
    ]
    return {"poolid": call.path["poolid"], "members": [*members, *storages]}


async def add_pool(call: Call) -> None:
    """POST /pools."""
    name = call.params["poolid"]
    if name in call.cluster.pools:
        raise ApiError(f"create pool failed: pool '{name}' already exists")
    call.cluster.pools[name] = Pool(call.params.get("comment", ""))


async def change_pool(call: Call) -> None:
    """PUT /pools/P, or PUT /pools: adds members, or takes them out with delete=1."""
    found = _pool(call)
    found.comment = call.params.get("comment", found.comment)
    for text in split_list(call.params.get("vms", "")):
        _change_vm(call, found, int(text))
    for name in split_list(call.params.get("storage", "")):
        (found.storages.discard if call.flag("delete") else found.storages.add)(name)


def _change_vm(call: Call, found: Pool, vmid: int) -> None:
    if call.flag("delete"):
        found.vmids.discard(vmid)
        return
    owner = call.cluster.pool_of(vmid)
    if owner and owner != _name(call):
        if not call.flag("allow-move"):
            raise ApiError(
                f"update pools failed: VM {vmid} belongs already to pool '{owner}' "
                "and 'allow-move' is not set"
            )
        call.cluster.pools[owner].vmids.discard(vmid)
    found.vmids.add(vmid)


async def delete_pool(call: Call) -> None:
    """DELETE /pools/P: only an empty one."""
    found, name = _pool(call), call.path["poolid"]
    for vmid in sorted(found.vmids):
        raise ApiError(f"delete pool failed: pool '{name}' is not empty (contains VM {vmid})")
    for storage in sorted(found.storages):
        raise ApiError(
            f"delete pool failed: pool '{name}' is not empty (contains storage '{storage}')"
        )
    del call.cluster.pools[name]
