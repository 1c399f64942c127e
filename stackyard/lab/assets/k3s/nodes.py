"""The nodes of a cluster: who they say they are, when they were last heard, what that makes them.

A node is kept as a small record and becomes a Kubernetes object when somebody asks, so that its
conditions are true at that moment.
"""

import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import host, tokens
from .log import FatalError
from .version import VERSION

HEARTBEAT_SECONDS = 10.0
SILENT_SECONDS = 40.0
"""After this long without a heartbeat a node's conditions are unknown, as in Kubernetes."""
NETWORK_SECONDS = 1.0
"""A new node is not ready until its network would be."""

Document = dict[str, Any]

PRESSURES = (
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)


def stamp(seconds: float) -> str:
    """Return a moment as Kubernetes writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def describe(
    name: str, addresses: list[str], labels: list[str], *, control_plane: bool
) -> Document:
    """Return the record by which this machine registers."""
    given = dict(label.partition("=")[::2] for label in labels)
    roles = ("control-plane", "master") if control_plane else ()
    return {
        "name": name,
        "addresses": addresses,
        "labels": {**given, **{f"node-role.kubernetes.io/{role}": "true" for role in roles}},
        "capacity": {"cpu": str(os.cpu_count() or 1), "memory": f"{host.memory_kib()}Ki"},
        "info": {
            "architecture": "amd64" if platform.machine() == "x86_64" else platform.machine(),
            "bootID": host.identifier("/proc/sys/kernel/random/boot_id"),
            "containerRuntimeVersion": f"stand-in://{VERSION.removeprefix('v')}",
            "kernelVersion": platform.release(),
            "kubeProxyVersion": VERSION,
            "kubeletVersion": VERSION,
            "machineID": host.identifier("/etc/machine-id"),
            "operatingSystem": "linux",
            "osImage": host.operating_system(),
            "systemUUID": host.identifier("/etc/machine-id"),
        },
    }


class Nodes:
    """The register of nodes; a file keeps it across restarts, a lock keeps threads apart."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._records: dict[str, Document] = {}
        self._heard: dict[str, float] = {}
        self._changes = 1
        if path.exists():
            try:
                self._records = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                raise FatalError(f"{path}: the datastore is damaged") from None
            self._changes += len(self._records)
            # Who was ready stays so until it has been silent too long, as in a real datastore.
            self._heard = dict.fromkeys(self._records, time.time())

    def register(self, record: Mapping[str, Any]) -> None:
        """Add a node or hear from it again; identity and age stay what they were."""
        now = time.time()
        with self._lock:
            known = self._records.get(record["name"])
            fresh = {"uid": str(uuid.uuid4()), "created": now, "ready": now + NETWORK_SECONDS}
            kept = known or fresh
            self._heard[record["name"]] = now
            new = {**record, **{key: kept[key] for key in fresh}}
            if new != known:
                self._changes += 1
                self._records[record["name"]] = new
                tokens.write_private(self._path, json.dumps(self._records))

    def version(self) -> str:
        """Return the register's resource version."""
        return str(self._changes)

    def objects(self) -> list[Document]:
        """Return all nodes as Kubernetes objects, by name."""
        now = time.time()
        with self._lock:
            return [
                _node(record, now, self._heard.get(name, 0.0), self.version())
                for name, record in sorted(self._records.items())
            ]


def _node(record: Document, now: float, heard: float, version: str) -> Document:
    name = record["name"]
    hostnames = [{"type": "Hostname", "address": name}]
    internal = [{"type": "InternalIP", "address": address} for address in record["addresses"]]
    resources = {**record["capacity"], "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "uid": record["uid"],
            "resourceVersion": version,
            "creationTimestamp": stamp(record["created"]),
            "labels": {
                "beta.kubernetes.io/arch": record["info"]["architecture"],
                "beta.kubernetes.io/os": "linux",
                "kubernetes.io/arch": record["info"]["architecture"],
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "node.kubernetes.io/instance-type": "k3s",
                **record["labels"],
            },
            "annotations": {"k3s.io/internal-ip": ",".join(record["addresses"])},
        },
        "spec": {"providerID": f"k3s://{name}"},
        "status": {
            "addresses": [*internal, *hostnames],
            "allocatable": resources,
            "capacity": resources,
            "conditions": _conditions(record, now, heard),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": record["info"],
        },
    }


def _conditions(record: Document, now: float, heard: float) -> list[Document]:
    silent = now - heard > SILENT_SECONDS
    ready = now >= record["ready"]
    facts = [(kind, "False", reason, text) for kind, reason, text in PRESSURES]
    if ready:
        facts.append(("Ready", "True", "KubeletReady", "kubelet is posting ready status"))
    else:
        text = "container runtime network not ready: cni plugin not initialized"
        facts.append(("Ready", "False", "KubeletNotReady", text))
    if silent:
        text = "Kubelet stopped posting node status."
        facts = [(kind, "Unknown", "NodeStatusUnknown", text) for kind, *_ in facts]
    since = heard + SILENT_SECONDS if silent else (record["ready"] if ready else record["created"])
    return [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": text,
            "lastHeartbeatTime": stamp(heard),
            "lastTransitionTime": stamp(since),
        }
        for kind, status, reason, text in facts
    ]
