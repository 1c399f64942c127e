"""What the API shows of VMs, nodes and storages."""

import time
from collections.abc import Mapping

from stackyard.lab.api.auth import Identity
from stackyard.lab.api.cluster import Cluster
from stackyard.lab.api.vm import MIB, Vm, parse_size, typed
from stackyard.lab.platform import Node, Storage

Entry = dict[str, object]


def boot_disk_size(vm: Vm) -> int:
    """Return the bytes of the disk a VM boots from: the first of its boot order, else its first."""
    disks = dict(vm.disks())
    order = vm.config.get("boot", "").removeprefix("order=").split(";")
    slot = next((slot for slot in order if slot in disks), next(iter(disks), None))
    return parse_size(disks[slot].get("size", "0")) if slot else 0


def _measures(cluster: Cluster, vm: Vm) -> Entry:
    running = cluster.running(vm)
    return {
        "status": "running" if running else "stopped",
        "uptime": int(time.time() - vm.started) if vm.started is not None else 0,
        "cpu": 0,
        "mem": 0,
        "memhost": 0,
        "maxmem": vm.memory_bytes,
        "disk": 0,
        "maxdisk": boot_disk_size(vm),
        "netin": 0,
        "netout": 0,
    }


def _marks(vm: Vm) -> Entry:
    marks: Entry = {name: vm.config[name] for name in ("tags", "lock") if vm.config.get(name)}
    return marks


def list_entry(cluster: Cluster, vm: Vm) -> Entry:
    """Return a VM's line in /nodes/N/qemu."""
    entry = _measures(cluster, vm) | _marks(vm)
    entry |= {"vmid": vm.vmid, "name": vm.label, "cpus": vm.threads, "diskread": 0, "diskwrite": 0}
    if any(name.startswith("serial") for name in vm.config):
        entry["serial"] = 1
    if vm.template:
        entry["template"] = 1
    return entry


def current(cluster: Cluster, vm: Vm) -> Entry:
    """Return the body of …/status/current."""
    entry = list_entry(cluster, vm)
    status = str(entry["status"])
    kept = cluster.ha.get(vm.vmid)
    ha = {"managed": 0} if kept is None else {"managed": 1, "state": kept["state"]}
    entry |= {"qmpstatus": "paused" if vm.paused else status, "ha": ha}
    entry["clipboard"] = None
    if vm.agent_enabled:
        entry["agent"] = 1
    return entry


def statd_entry(cluster: Cluster, vm: Vm) -> Entry:
    """Return what pvestatd notes of a VM in its round."""
    return _measures(cluster, vm) | {
        "name": vm.label,
        "maxcpu": vm.threads,
        "template": int(vm.template),
        "diskread": 0,
        "diskwrite": 0,
    }


def resource(cluster: Cluster, vm: Vm) -> Entry:
    """Return a VM's line in /cluster/resources: as pvestatd saw the owner of its number last."""
    entry: Entry = {"id": f"qemu/{vm.vmid}", "type": "qemu", "vmid": vm.vmid, "node": vm.node}
    seen = cluster.seen.get(vm.vmid)
    entry |= seen if seen is not None else {"status": "unknown"}
    pool = cluster.pool_of(vm.vmid)
    kept = cluster.ha.get(vm.vmid)
    more = {"pool": pool, "hastate": kept and kept["state"]}
    return entry | _marks(vm) | {key: value for key, value in more.items() if value}


def config(vm: Vm, *, running: bool) -> Entry:
    """Return the body of …/config: the values that hold now, or once pending ones are applied."""
    values = vm.config if running else vm.wanted
    shown: Entry = {name: typed(name, value) for name, value in values.items()}
    return shown | {"digest": vm.digest}


def pending(vm: Vm) -> list[Mapping[str, object]]:
    """Return the body of …/pending."""
    found: list[Mapping[str, object]] = []
    for name in vm.config | vm.pending:
        entry: Entry = {"key": name}
        if name in vm.config:
            entry["value"] = typed(name, vm.config[name])
        if name in vm.pending:
            entry["pending"] = typed(name, vm.pending[name])
        if name in vm.pending_delete:
            entry["delete"] = 2 if vm.pending_delete[name] else 1
        found.append(entry)
    return [*found, {"key": "digest", "value": vm.digest}]


def node_entry(cluster: Cluster, node: Node, identity: Identity) -> Entry:
    """Return a node's line in /nodes; without the right to audit it, only what it is called."""
    down = node.name in cluster.down
    entry: Entry = {
        "node": node.name,
        "id": f"node/{node.name}",
        "type": "node",
        "status": "offline" if down else "online",
        "level": "",
    }
    if down or not identity.allowed:
        return entry
    running = [vm for vm in cluster.of_node(node.name) if cluster.running(vm)]
    local = [s for s in cluster.volumes.of_node(node.name) if s.type == "dir"]
    return entry | {
        "cpu": 0.01,
        "maxcpu": node.threads,
        "mem": min(node.memory_mib * MIB, sum(vm.memory_bytes for vm in running) + 1024 * MIB),
        "maxmem": node.memory_mib * MIB,
        "disk": sum(cluster.volumes.used(node.name, s.name) for s in local[:1]),
        "maxdisk": sum(s.size_bytes for s in local[:1]),
        "uptime": int(time.time() - cluster.began),
    }


def node_status(cluster: Cluster, node: Node) -> Entry:
    """Return the body of /nodes/N/status."""
    summary = node_entry(cluster, node, Identity("", allowed=True))
    total, used = node.memory_mib * MIB, summary["mem"]
    free = total - int(str(used))
    disk, disk_total = int(str(summary["disk"])), int(str(summary["maxdisk"]))
    return {
        "uptime": summary["uptime"],
        "cpu": 0,
        "idle": 0,
        "wait": 0,
        "cpuinfo": {
            "model": node.cpu,
            "cpus": node.threads,
            "cores": node.threads,
            "sockets": 1,
            "mhz": "2600.000",
            "user_hz": 100,
            "flags": "",
            "hvm": "1",
        },
        "memory": {"total": total, "used": used, "free": free, "available": free},
        "swap": {"total": 0, "used": 0, "free": 0},
        "rootfs": {
            "total": disk_total,
            "used": disk,
            "free": disk_total - disk,
            "avail": disk_total - disk,
        },
        "loadavg": ["0.10", "0.10", "0.10"],
        "pveversion": "pve-manager/9.2.11/14a22df35955d97d",
        "kversion": "Linux 6.14.8-2-pve #1 SMP PREEMPT_DYNAMIC",
        "current-kernel": {
            "sysname": "Linux",
            "release": "6.14.8-2-pve",
            "version": "#1 SMP PREEMPT_DYNAMIC",
            "machine": "x86_64",
        },
        "boot-info": {"mode": "legacy-bios"},
    }


def storage_entry(cluster: Cluster, node: str, storage: Storage) -> Entry:
    """Return a storage's line in /nodes/N/storage."""
    used = cluster.volumes.used(node, storage.name)
    return {
        "storage": storage.name,
        "type": storage.type,
        "content": ",".join(storage.content),
        "active": 1,
        "enabled": 1,
        "shared": int(storage.shared),
        "total": storage.size_bytes,
        "used": used,
        "avail": max(0, storage.size_bytes - used),
        "used_fraction": used / storage.size_bytes,
    }
