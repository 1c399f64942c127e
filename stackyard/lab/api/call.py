"""One request on its way through the endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass

from stackyard.lab.api.auth import Authority, Identity
from stackyard.lab.api.cluster import Cluster
from stackyard.lab.api.tasks import Worker
from stackyard.lab.api.vm import Vm


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler gets: who asks, the parts of the path, parameters that have been checked."""

    cluster: Cluster
    authority: Authority
    identity: Identity
    path: Mapping[str, str]
    params: Mapping[str, str]

    @property
    def node(self) -> str:
        return self.path["node"]

    @property
    def vmid(self) -> int:
        return int(self.path["vmid"])

    def vm(self) -> Vm:
        """Return the VM of the path; ApiError when this node has none."""
        return self.cluster.vm(self.node, self.vmid)

    def flag(self, name: str, *, default: bool = False) -> bool:
        value = self.params.get(name)
        return default if value is None else value == "1"

    def number(self, name: str, default: int) -> int:
        return int(self.params.get(name, default))

    def start_task(self, kind: str, worker: Worker, ident: str | None = None) -> str:
        """Start a worker for the VM of the path and return its UPID."""
        name = self.path.get("vmid", "") if ident is None else ident
        return self.cluster.tasks.start(self.node, kind, name, self.identity.user, worker)


@dataclass(frozen=True, slots=True)
class Listing:
    """A list that answers with how many there are in all, as lists in parts do."""

    data: list[Mapping[str, object]]
    total: int
