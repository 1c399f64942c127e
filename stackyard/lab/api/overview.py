"""Reads over the whole cluster and its nodes: lists, resources, VMs."""

from collections.abc import Mapping

from stackyard.lab.api import views
from stackyard.lab.api.call import Call
from stackyard.lab.api.faults import invalid
from stackyard.lab.platform import Storage

Body = Mapping[str, object]
_VERSION = {"version": "9.2.11", "release": "9.2", "repoid": "14a22df35955d97d"}


def index(*names: str) -> list[Body]:
    """Return what a folder of the API lists."""
    return [{"subdir": name} for name in names]


async def root(_call: Call) -> list[Body]:
    """GET /."""
    return index("version", "cluster", "nodes", "storage", "access", "pools")


async def version(_call: Call) -> Body:
    """GET /version."""
    return _VERSION


async def nodes(call: Call) -> list[Body]:
    """GET /nodes: all of them; what they do only for who may audit them."""
    cluster = call.cluster
    known: Body = {"ssl_fingerprint": cluster.certificate}
    return [
        {**views.node_entry(cluster, node, call.identity), **known}
        for node in cluster.platform.nodes.values()
    ]


async def node_status(call: Call) -> Body:
    """GET /nodes/N/status."""
    return views.node_status(call.cluster, call.cluster.platform.nodes[call.node])


async def networks(call: Call) -> list[Body]:
    """GET /nodes/N/network: the bridges."""
    node = call.cluster.platform.nodes[call.node]
    return [
        {"iface": name, "type": "bridge", "active": 1, "autostart": 1, "method": "manual"}
        for name in node.bridges
    ]


async def qemu(call: Call) -> list[Body]:
    """GET /nodes/N/qemu: always fresh."""
    if not call.identity.allowed:
        return []
    return [views.list_entry(call.cluster, vm) for vm in call.cluster.of_node(call.node)]


async def lxc(call: Call) -> list[Body]:
    """GET /nodes/N/lxc: the lab's containers have a VMID and nothing else."""
    if not call.identity.allowed:
        return []
    there = call.cluster.containers
    return [{"vmid": n, "status": "stopped", "type": "lxc"} for n in there if there[n] == call.node]


async def vm_index(call: Call) -> list[Body]:
    """GET /nodes/N/qemu/V."""
    call.vm()
    return index("config", "pending", "status", "cloudinit", "agent", "clone", "resize", "migrate")


async def config(call: Call) -> Body:
    """GET …/config: pending values included, unless current=1."""
    return views.config(call.vm(), running=call.flag("current"))


async def pending(call: Call) -> list[Body]:
    """GET …/pending."""
    return views.pending(call.vm())


async def snapshots(call: Call) -> list[Body]:
    """GET …/snapshot: none but the present, which the real server lists among them."""
    vm = call.vm()
    now = {"name": "current", "description": "You are here!", "digest": vm.digest}
    return [now | {"running": int(call.cluster.running(vm))}]


async def current(call: Call) -> Body:
    """GET …/status/current."""
    return views.current(call.cluster, call.vm())


async def next_id(call: Call) -> str:
    """GET /cluster/nextid: a string, and nothing is reserved."""
    wanted = call.params.get("vmid")
    if wanted is None:
        return str(call.cluster.free_vmid())
    if int(wanted) in call.cluster.vms or int(wanted) in call.cluster.containers:
        raise invalid(vmid=f"VM {wanted} already exists")
    return wanted


async def resources(call: Call) -> list[Body]:
    """GET /cluster/resources: VMs as pvestatd saw them last, up to its whole interval ago."""
    cluster, kind = call.cluster, call.params.get("type")
    if not call.identity.allowed:
        return []
    found: list[Body] = []
    if kind in (None, "vm"):
        found += [views.resource(cluster, vm) for vm in cluster.vms.values()]
        found += [
            {"id": f"lxc/{vmid}", "type": "lxc", "vmid": vmid, "node": node, "status": "unknown"}
            for vmid, node in cluster.containers.items()
        ]
    if kind in (None, "node"):
        found += [
            views.node_entry(cluster, node, call.identity)
            for node in cluster.platform.nodes.values()
        ]
    if kind in (None, "storage"):
        found += [
            _storage_resource(call, node, storage)
            for node in cluster.platform.nodes
            for storage in cluster.volumes.of_node(node)
        ]
    return found


def _storage_resource(call: Call, node: str, storage: Storage) -> Body:
    entry = views.storage_entry(call.cluster, node, storage)
    return {
        "id": f"storage/{node}/{storage.name}",
        "type": "storage",
        "storage": storage.name,
        "node": node,
        "status": "available",
        "shared": entry["shared"],
        "content": entry["content"],
        "plugintype": storage.type,
        "disk": entry["used"],
        "maxdisk": entry["total"],
    }


async def cluster_status(call: Call) -> list[Body]:
    """GET /cluster/status."""
    cluster = call.cluster
    members = list(cluster.platform.nodes.values())
    found: list[Body] = [
        {
            "type": "node",
            "id": f"node/{node.name}",
            "name": node.name,
            "ip": node.address,
            "nodeid": number,
            "online": int(node.name not in cluster.down),
            "local": int(number == 1),
            "level": "",
        }
        for number, node in enumerate(members, 1)
    ]
    if len(members) == 1:
        return found
    name = cluster.platform.name
    summary = {"type": "cluster", "id": "cluster", "name": name, "nodes": len(members)}
    return [summary | {"quorate": int(cluster.quorum), "version": len(members)}, *found]
