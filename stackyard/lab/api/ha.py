"""Resources of high availability, and the manager that keeps their VMs as their states say.

The schema of the calls is recorded, their answers are not: texts and behaviour follow the sources
of pve-ha-manager. Nothing here moves a VM of a node that fails.
"""

import hashlib
import json
import re
from collections.abc import Mapping

from stackyard.lab.api.call import Call
from stackyard.lab.api.cluster import Cluster
from stackyard.lab.api.faults import ApiError
from stackyard.lab.api.power import keep_power
from stackyard.lab.api.values import split_list

Body = Mapping[str, object]
_NUMBERS = ("max_restart", "max_relocate", "failback")
_OLD = {"enabled": "started"}


def _digest(cluster: Cluster) -> str:
    text = json.dumps(cluster.ha, sort_keys=True)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _vmid(text: str) -> int:
    match = re.fullmatch(r"(?:vm:)?([1-9]\d*)", text)
    if not match:
        raise ApiError(f"unable to parse service id '{text}'")
    return int(match[1])


def _entry(cluster: Cluster, vmid: int) -> Body:
    if vmid not in cluster.ha:
        raise ApiError(f"no such resource 'vm:{vmid}'")
    kept = cluster.ha[vmid]
    told: dict[str, object] = {k: int(v) if k in _NUMBERS else v for k, v in kept.items()}
    return told | {"sid": f"vm:{vmid}", "type": "vm", "digest": _digest(cluster)}


async def resources(call: Call) -> list[Body]:
    """GET /cluster/ha/resources."""
    wanted = call.params.get("type") in (None, "vm")
    return [_entry(call.cluster, vmid) for vmid in sorted(call.cluster.ha)] if wanted else []


async def resource(call: Call) -> Body:
    """GET …/{sid}."""
    return _entry(call.cluster, _vmid(call.path["sid"]))


async def add(call: Call) -> None:
    """POST: the manager begins to see to the VM."""
    cluster, vmid = call.cluster, _vmid(call.params["sid"])
    cluster.check_quorum()
    if vmid not in cluster.vms:
        raise ApiError(f"resource 'vm:{vmid}' does not exist in cluster")
    if vmid in cluster.ha:
        raise ApiError(f"create resource failed: resource ID 'vm:{vmid}' already defined")
    options = {k: v for k, v in call.params.items() if k not in ("sid", "type")}
    _keep(cluster, vmid, {"state": "started", **options})


async def change(call: Call) -> None:
    """PUT …/{sid}: `delete` sets keys back to their defaults."""
    cluster, vmid = call.cluster, _vmid(call.path["sid"])
    cluster.check_quorum()
    _entry(cluster, vmid)
    if call.params.get("digest", _digest(cluster)) != _digest(cluster):
        raise ApiError("detected modified configuration - file changed by other user? Try again.")
    gone = split_list(call.params.get("delete", ""))
    options = {k: v for k, v in call.params.items() if k not in ("delete", "digest")}
    _keep(cluster, vmid, {k: v for k, v in cluster.ha[vmid].items() if k not in gone} | options)


async def remove(call: Call) -> None:
    """DELETE …/{sid}: the VM stays as it is."""
    vmid = _vmid(call.path["sid"])
    _entry(call.cluster, vmid)
    del call.cluster.ha[vmid]


def _keep(cluster: Cluster, vmid: int, options: dict[str, str]) -> None:
    state = options.get("state", "started")
    cluster.ha[vmid] = options | {"state": _OLD.get(state, state)}
    cluster.later(keep_power(cluster, vmid))
