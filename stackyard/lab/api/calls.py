"""The table of calls: method, path, handler, parameters, and the privilege a call needs."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from stackyard.lab.api import (
    access,
    agent,
    cloudinit,
    create,
    ha,
    lifecycle,
    moves,
    overview,
    power,
    storage_calls,
    task_calls,
    update,
)
from stackyard.lab.api import clone as cloning
from stackyard.lab.api import parameters as p
from stackyard.lab.api.call import Call
from stackyard.lab.api.devices import Table

Handler = Callable[[Call], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Route:
    """One call of the API."""

    method: str
    path: str
    handler: Handler
    params: Table
    privilege: str | None  # `VM.Audit`; "" asks without naming it, None lets everybody in


_VM = "/nodes/{node}/qemu/{vmid}"
_TASK = "/nodes/{node}/tasks/{upid}"
_STORAGE = "/nodes/{node}/storage/{storage}"

ROUTES = (
    Route("GET", "/", overview.root, p.NONE, None),
    Route("GET", "/version", overview.version, p.NONE, None),
    Route("GET", "/nodes", overview.nodes, p.NONE, None),
    Route("GET", "/nodes/{node}/version", overview.version, p.NONE, None),
    Route("GET", "/nodes/{node}/status", overview.node_status, p.NONE, "Sys.Audit"),
    Route("GET", "/nodes/{node}/network", overview.networks, p.NETWORKS, None),
    Route("GET", "/nodes/{node}/qemu", overview.qemu, p.NODE_LIST, None),
    Route("GET", "/nodes/{node}/lxc", overview.lxc, p.NONE, None),
    Route("POST", "/nodes/{node}/qemu", create.create, p.CREATE, ""),
    Route("GET", _VM, overview.vm_index, p.NONE, None),
    Route("DELETE", _VM, lifecycle.destroy, p.DESTROY, "VM.Allocate"),
    Route("GET", f"{_VM}/config", overview.config, p.CONFIG, "VM.Audit"),
    Route("PUT", f"{_VM}/config", update.put_config, p.UPDATE, ""),
    Route("POST", f"{_VM}/config", update.post_config, p.UPDATE_ASYNC, ""),
    Route("GET", f"{_VM}/pending", overview.pending, p.NONE, "VM.Audit"),
    Route("GET", f"{_VM}/cloudinit", cloudinit.list_options, p.NONE, "VM.Audit"),
    Route("PUT", f"{_VM}/cloudinit", cloudinit.regenerate, p.NONE, "VM.Config.Cloudinit"),
    Route("GET", f"{_VM}/cloudinit/dump", cloudinit.dump, p.DUMP, "VM.Audit"),
    Route("PUT", f"{_VM}/resize", lifecycle.resize, p.RESIZE, "VM.Config.Disk"),
    Route("POST", f"{_VM}/clone", cloning.clone, p.CLONE, "VM.Clone"),
    Route("POST", f"{_VM}/template", lifecycle.template, p.TEMPLATE, "VM.Allocate"),
    Route("POST", f"{_VM}/migrate", moves.migrate, p.MIGRATE, "VM.Migrate"),
    Route("POST", f"{_VM}/move_disk", moves.move_disk, p.MOVE_DISK, "VM.Config.Disk"),
    Route("GET", f"{_VM}/snapshot", overview.snapshots, p.NONE, "VM.Audit"),
    Route("GET", f"{_VM}/status/current", overview.current, p.NONE, "VM.Audit"),
    Route("POST", f"{_VM}/status/start", power.start, p.START, "VM.PowerMgmt"),
    Route("POST", f"{_VM}/status/stop", power.stop, p.STOP, "VM.PowerMgmt"),
    Route("POST", f"{_VM}/status/shutdown", power.shutdown, p.SHUTDOWN, "VM.PowerMgmt"),
    Route("POST", f"{_VM}/status/reboot", power.reboot, p.REBOOT, "VM.PowerMgmt"),
    Route("POST", f"{_VM}/status/reset", power.reset, p.SKIPLOCK, "VM.PowerMgmt"),
    Route("POST", f"{_VM}/status/suspend", power.suspend, p.SUSPEND, "VM.PowerMgmt"),
    Route("POST", f"{_VM}/status/resume", power.resume, p.RESUME, "VM.PowerMgmt"),
    Route("POST", f"{_VM}/agent/ping", agent.ping, p.NONE, "VM.GuestAgent.Audit"),
    Route("GET", f"{_VM}/agent/network-get-interfaces", agent.network_interfaces, p.NONE,
          "VM.GuestAgent.Audit"),
    Route("GET", f"{_VM}/agent/get-host-name", agent.host_name, p.NONE, "VM.GuestAgent.Audit"),
    Route("GET", f"{_VM}/agent/get-osinfo", agent.os_info, p.NONE, "VM.GuestAgent.Audit"),
    Route("GET", f"{_VM}/agent/file-read", agent.file_read, p.FILE_READ,
          "VM.GuestAgent.FileRead"),
    Route("GET", "/nodes/{node}/tasks", task_calls.node_tasks, p.TASKS, None),
    Route("GET", _TASK, task_calls.task_index, p.NONE, None),
    Route("DELETE", _TASK, task_calls.stop_task, p.NONE, "Sys.Modify"),
    Route("GET", f"{_TASK}/status", task_calls.task_status, p.NONE, "Sys.Audit"),
    Route("GET", f"{_TASK}/log", task_calls.task_log, p.TASK_LOG, "Sys.Audit"),
    Route("GET", "/nodes/{node}/storage", storage_calls.storages, p.STORAGES, None),
    Route("GET", f"{_STORAGE}/status", storage_calls.storage_status, p.NONE, "Datastore.Audit"),
    Route("GET", f"{_STORAGE}/content", storage_calls.content, p.CONTENT, "Datastore.Audit"),
    Route("GET", "/storage", storage_calls.all_storages, p.NONE, None),
    Route("POST", "/storage", storage_calls.add_storage, p.ADD_STORAGE, "Datastore.Allocate"),
    Route("GET", "/cluster/nextid", overview.next_id, p.NEXT_ID, None),
    Route("GET", "/cluster/ha/resources", ha.resources, p.HA_TYPE, "Sys.Audit"),
    Route("POST", "/cluster/ha/resources", ha.add, p.ADD_HA, "Sys.Console"),
    Route("GET", "/cluster/ha/resources/{sid}", ha.resource, p.NONE, "Sys.Audit"),
    Route("PUT", "/cluster/ha/resources/{sid}", ha.change, p.CHANGE_HA, "Sys.Console"),
    Route("DELETE", "/cluster/ha/resources/{sid}", ha.remove, p.DELETE_HA, "Sys.Console"),
    Route("GET", "/cluster/resources", overview.resources, p.RESOURCES, None),
    Route("GET", "/cluster/status", overview.cluster_status, p.NONE, "Sys.Audit"),
    Route("GET", "/cluster/tasks", task_calls.cluster_tasks, p.NONE, None),
    Route("POST", "/access/ticket", access.ticket, p.TICKET, None),
    Route("GET", "/access/permissions", access.permissions, p.PERMISSIONS, None),
    Route("GET", "/pools", access.pools, p.POOL_FILTER, None),
    Route("POST", "/pools", access.add_pool, p.ADD_POOL, "Pool.Allocate"),
    Route("GET", "/pools/{poolid}", access.pool, p.POOL_FILTER, "Pool.Audit"),
    Route("PUT", "/pools", access.change_pool, p.CHANGE_ANY_POOL, "Pool.Allocate"),
    Route("PUT", "/pools/{poolid}", access.change_pool, p.CHANGE_POOL, "Pool.Allocate"),
    Route("DELETE", "/pools/{poolid}", access.delete_pool, p.NONE, "Pool.Allocate"),
)  # fmt: skip


@dataclass
class _Branch:
    children: "dict[str, _Branch]" = field(default_factory=dict)
    variable: str = ""  # the name of the path's part that stands here
    routes: dict[str, Route] = field(default_factory=dict)


def _plant() -> _Branch:
    root = _Branch()
    for route in ROUTES:
        branch = root
        for part in filter(None, route.path.split("/")):
            variable = part.strip("{}") if part.startswith("{") else ""
            branch.variable = variable or branch.variable
            branch = branch.children.setdefault("{}" if variable else part, _Branch())
        branch.routes[route.method] = route
    return root


_TREE = _plant()


def find(method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
    """Return the call for a path, still percent-encoded, with the values of its variable parts."""
    branch, values = _TREE, dict[str, str]()
    for part in filter(None, path.split("/")):
        following = branch.children.get(part)
        if following is None and branch.variable:
            values[branch.variable] = unquote(part)
            following = branch.children["{}"]
        if following is None:
            return None
        branch = following
    route = branch.routes.get(method)
    return (route, values) if route else None
