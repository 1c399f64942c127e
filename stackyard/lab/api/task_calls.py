"""Tasks: the lists of a node and of the cluster, a task's state and log, stopping it."""

from collections.abc import Mapping, Sequence

from stackyard.lab.api.call import Call, Listing
from stackyard.lab.api.tasks import Task

Body = Mapping[str, object]


def _matching(call: Call, tasks: Sequence[Task]) -> list[Task]:
    vmid, user = call.params.get("vmid"), call.params.get("userfilter", "")
    kind = call.params.get("typefilter")
    since, until = call.number("since", 0), call.number("until", 1 << 62)
    return [
        task
        for task in tasks
        if vmid in (None, task.id)
        and kind in (None, task.type)
        and user in task.user
        and since <= task.starttime <= until
    ]


async def node_tasks(call: Call) -> Listing:
    """GET /nodes/N/tasks: newest first; ended ones unless source says otherwise."""
    source = call.params.get("source", "archive")
    tasks = [task for task in call.cluster.tasks.newest() if task.node == call.node]
    if source != "all":
        tasks = [task for task in tasks if task.running == (source == "active")]
    if call.flag("errors"):
        tasks = [task for task in tasks if not task.running and task.exitstatus != "OK"]
    tasks = _matching(call, tasks)
    first = call.number("start", 0)
    part = tasks[first : first + call.number("limit", 50)]
    return Listing([task.entry() for task in part], len(tasks))


async def cluster_tasks(call: Call) -> list[Body]:
    """GET /cluster/tasks: the newest of all nodes."""
    if not call.identity.allowed:
        return []
    return [task.cluster_entry() for task in call.cluster.tasks.newest()[:25]]


def _task(call: Call) -> Task:
    return call.cluster.tasks.find(call.node, call.path["upid"])


async def task_index(call: Call) -> list[Body]:
    """GET /nodes/N/tasks/UPID."""
    _task(call)
    return [{"subdir": "log"}, {"subdir": "status"}]


async def task_status(call: Call) -> Body:
    """GET /nodes/N/tasks/UPID/status."""
    return _task(call).status()


async def task_log(call: Call) -> Listing:
    """GET /nodes/N/tasks/UPID/log."""
    lines = _task(call).lines
    first, limit = call.number("start", 0), call.number("limit", 50)
    end = first + limit if limit else len(lines)
    found: list[Body] = [{"n": n, "t": line} for n, line in enumerate(lines, 1)]
    return Listing(found[first:end], len(lines))


async def stop_task(call: Call) -> None:
    """DELETE /nodes/N/tasks/UPID: an ended task is fine."""
    handle = _task(call).handle
    if handle:
        handle.cancel()
