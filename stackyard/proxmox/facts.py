"""What Proxmox knows of one VM, as host variables: the live half of an inventory. Pure.

The names and the form of the variables are those of the collection community.proxmox, where it has
them, so that playbooks written for its inventory plugin go on working.
"""

import ipaddress
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

ABSENT = "absent"  # the power state of a VM that is defined and not in Proxmox
UNKNOWN = "unknown"  # the one of a VM whose node does not answer


@dataclass(frozen=True, slots=True)
class Facts:
    """One VM; `interfaces` are its guest agent's, empty where none answered."""

    vmid: int
    node: str
    name: str | None  # None: the VM has none of its own
    status: str  # running, stopped or unknown
    template: bool = False
    tags: tuple[str, ...] = ()  # in Proxmox's order
    lock: str | None = None
    pool: str | None = None
    interfaces: tuple[Mapping[str, Any], ...] = ()

    @property
    def host_name(self) -> str:
        """What the VM is called in an inventory."""
        return self.name or f"vm-{self.vmid}"

    @property
    def is_forgotten(self) -> bool:
        """Whether its name is not known: some minutes after a node is gone, Proxmox forgets it."""
        return self.name is None and self.status == UNKNOWN

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses others can reach it at, by card in the guest's order, IPv4 first.

        A guest lists its cards before the bridges and tunnels that it made itself.
        """
        cards = (sorted(_reachable(one), key=lambda ip: ip.version) for one in self.interfaces)
        return tuple(str(address) for card in cards for address in card)

    def variables(self) -> dict[str, Any]:
        """Return the host variables; what the VM has none of is left out."""
        found: dict[str, Any] = {
            "proxmox_vmid": self.vmid,
            "proxmox_vmtype": "qemu",
            "proxmox_name": self.name,
            "proxmox_node": self.node,
            "proxmox_status": self.status,
            "proxmox_template": self.template,
            "proxmox_tags": ";".join(self.tags),
            "proxmox_tags_parsed": list(self.tags),
            "proxmox_lock": self.lock,
            "proxmox_pool": self.pool,
            "proxmox_agent_interfaces": [dict(one) for one in self.interfaces],
            "proxmox_addresses": list(self.addresses),
        }
        return {name: value for name, value in found.items() if value not in (None, "", [])}


def to_json(facts: Mapping[str, Facts]) -> str:
    """Return facts by host as JSON, for caches."""
    return json.dumps({"form": _form(), "hosts": {name: asdict(f) for name, f in facts.items()}})


def from_json(text: str) -> dict[str, Facts] | None:
    """Return the facts that `to_json` was given; None where a release with other facts wrote it."""
    document = json.loads(text)
    if document.get("form") != _form():
        return None
    return {name: _from_document(one) for name, one in document["hosts"].items()}


def _form() -> list[str]:
    return [field.name for field in fields(Facts)]


def _from_document(document: Mapping[str, Any]) -> Facts:
    lists = {name: tuple(document[name]) for name in ("tags", "interfaces")}
    return Facts(**{**document, **lists})


def interfaces_of(answer: Any) -> tuple[Mapping[str, Any], ...]:
    """Return the interfaces of an answer of …/agent/network-get-interfaces.

    The guest wrote it, so nothing of its form is sure; one that cannot tell (some Windows agents)
    answers with an error inside the result.
    """
    result = answer.get("result") if isinstance(answer, Mapping) else None
    if not isinstance(result, list):
        return ()
    return tuple(_interface(one) for one in result if isinstance(one, Mapping))


def _interface(told: Mapping[str, Any]) -> Mapping[str, Any]:
    addresses = told.get("ip-addresses")
    return {
        "name": str(told.get("name", "")),
        "mac-address": str(told.get("hardware-address", "")),
        "ip-addresses": [
            f"{one.get('ip-address')}/{one.get('prefix')}"
            for one in (addresses if isinstance(addresses, list) else ())
            if isinstance(one, Mapping)
        ],
    }


def _reachable(
    interface: Mapping[str, Any],
) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    for text in interface["ip-addresses"]:
        try:
            address = ipaddress.ip_interface(text).ip
        except ValueError:  # no address; proxmox_agent_interfaces shows what the guest wrote
            continue
        if not (address.is_loopback or address.is_link_local or address.is_unspecified):
            yield address
