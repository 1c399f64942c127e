"""What Proxmox knows of one VM, as host variables: the live half of an inventory. Pure.

The names and the form of the variables are those of the collection community.proxmox, where it has
them, so that playbooks written for its inventory plugin go on working.
"""

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

ABSENT = "absent"  # the power state of a VM that is defined and not in Proxmox
UNKNOWN = "unknown"  # the one of a VM whose node does not answer

_Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


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

        A guest lists its cards before the bridges and tunnels that it made itself. What may be at
        several machines, such as a cluster's virtual address, is last: what the loopback has
        besides, and of each card what has a prefix of its own (`/32`).
        """
        cards = sorted(map(_addresses, self.interfaces), key=_is_loopback)
        ordered = (sorted(card, key=lambda one: (one.version, _is_alone(one))) for card in cards)
        return tuple(str(one.ip) for card in ordered for one in card if _is_reachable(one.ip))

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


def _addresses(interface: Mapping[str, Any]) -> list[_Interface]:
    found = []
    for text in interface["ip-addresses"]:
        try:
            found.append(ipaddress.ip_interface(text))
        except ValueError:  # no address; proxmox_agent_interfaces shows what the guest wrote
            continue
    return found


def _is_loopback(addresses: list[_Interface]) -> bool:
    return any(one.ip.is_loopback for one in addresses)


def _is_alone(address: _Interface) -> bool:
    return address.network.prefixlen == address.max_prefixlen


def _is_reachable(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    # IPv4 inside IPv6 (::ffff:127.0.0.1) is on no card, and would lead elsewhere.
    is_mapped = getattr(address, "ipv4_mapped", None) is not None
    here = address.is_loopback or address.is_link_local or address.is_unspecified
    return not (here or is_mapped)
