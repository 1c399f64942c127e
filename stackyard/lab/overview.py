"""What a running lab holds: asked of its own Proxmox endpoint, from inside its network."""

import threading
from dataclasses import dataclass
from typing import Any

import requests

from stackyard.lab.control import Lab
from stackyard.lab.entry import enter_network
from stackyard.lab.errors import LabError

PATIENCE = 10.0  # seconds for each request


@dataclass(frozen=True, slots=True)
class Machine:
    """A VM as the endpoint tells it."""

    vmid: int
    name: str
    node: str
    status: str
    address: str


def machines(lab: Lab) -> tuple[Machine, ...]:
    """Return the lab's VMs by VMID, templates left out; LabError when it does not answer."""
    found: list[tuple[Machine, ...]] = []
    failed: list[LabError] = []

    def ask() -> None:
        try:
            enter_network(lab)
            found.append(_machines(lab))
        except LabError as error:
            failed.append(error)

    # A thread of its own goes into the lab's network: the caller stays where it is.
    thread = threading.Thread(target=ask, name="lab overview")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]


def _machines(lab: Lab) -> tuple[Machine, ...]:
    with _session(lab) as session:
        nodes = [node["node"] for node in _get(session, lab, "/nodes")]
        # Each node's own list: /cluster/resources knows a VM's power only seconds later.
        entries = [
            (node, entry)
            for node in nodes
            for entry in _get(session, lab, f"/nodes/{node}/qemu")
            if not entry.get("template")
        ]
        told = (_machine(session, lab, node, entry) for node, entry in entries)
        return tuple(sorted(told, key=lambda machine: machine.vmid))


def _machine(session: requests.Session, lab: Lab, node: str, entry: dict[str, Any]) -> Machine:
    vmid = int(entry["vmid"])
    config = _get(session, lab, f"/nodes/{node}/qemu/{vmid}/config")
    address = _address(config.get("ipconfig0", ""))
    return Machine(vmid, entry.get("name", ""), node, entry["status"], address)


def _address(ipconfig: str) -> str:
    """Return the IPv4 address of an ipconfig0 such as `ip=192.168.1.20/24,gw=192.168.1.1`."""
    parts = dict(part.partition("=")[::2] for part in ipconfig.split(","))
    return parts.get("ip", "").partition("/")[0]


def _session(lab: Lab) -> requests.Session:
    variables = lab.environment
    identity = f"{variables['PROXMOX_USER']}!{variables['PROXMOX_TOKEN_ID']}"
    session = requests.Session()
    session.trust_env = False  # a proxy of the machine's does not know the lab
    session.verify = variables["PROXMOX_CA"]
    secret = variables["PROXMOX_TOKEN_SECRET"]
    session.headers["Authorization"] = f"PVEAPIToken={identity}={secret}"
    return session


def _get(session: requests.Session, lab: Lab, path: str) -> Any:
    try:
        answer = session.get(f"{lab.services.proxmox}/api2/json{path}", timeout=PATIENCE)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise LabError(f"the lab does not answer at {lab.services.proxmox}: {error}") from error
    return answer.json()["data"]
