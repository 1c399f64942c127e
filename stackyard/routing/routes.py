"""Names to plays: which playbook configures what, on which hosts, in which order.

A play's name is only ever looked up among the plays the site has, and a host's among the
inventory's hosts, so that no text of a commit message becomes a path or a pattern.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Final

from stackyard.definitions.model import Definition
from stackyard.inventory import Inventory
from stackyard.inventory.groups import LOAD_BALANCERS
from stackyard.routing.errors import RoutingError

# Which play configures the VMs of a group; the first group that a VM is in decides.
_PLAY_OF_GROUP: Final = {
    "k3s": "k3s",
    "kubeadm_control_plane": "kubeadm",
    "kubeadm_workers": "kubeadm",
    "talos_control_plane": "talos",
    "talos_workers": "talos",
    LOAD_BALANCERS: "haproxy",
}
_CONTROL_PLANES: Final = ("k3s", "kubeadm_control_plane", "talos_control_plane")
_CLUSTER_PLAYS: Final = ("k3s", "kubeadm", "talos")
_LOAD_BALANCER: Final = "haproxy"
_EVERYTHING: Final = "site"


@dataclass(frozen=True, slots=True)
class Route:
    """A play to run, and its hosts.

    `follows` are hosts that nobody named but that depend on one that was: HAProxy's, when a control
    plane is new. `whole` says that the play itself was named: it runs on the hosts it has, and
    `others` are those of them that are no VMs of the site.
    """

    play: str  # its name; the file is plays/<name>.yml
    hosts: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    whole: bool = False
    others: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """The playbook's path in the site."""
        return f"plays/{self.play}.yml"


def route(
    names: Iterable[str],
    definitions: Iterable[Definition],
    inventory: Inventory,
    plays: Collection[str],
) -> tuple[Route, ...]:
    """Return the routes for the names of a commit's tags: clusters first, load balancers last.

    `plays` are the names of the playbooks there are.

    Raises:
        RoutingError: a name is neither a VM nor a play, or the VM cannot be configured.
    """
    vms = {definition.name: definition for definition in definitions}
    routes: dict[str, Route] = {}
    for name in names:
        _merge(routes, _route_of(name, vms, inventory, plays))
    dependants = _load_balancers(routes.values(), vms, inventory)
    if dependants and _LOAD_BALANCER in plays:
        _merge(routes, Route(_LOAD_BALANCER, follows=dependants))
    return tuple(sorted(routes.values(), key=_rank))


def load_balancing(
    names: Iterable[str],
    definitions: Iterable[Definition],
    inventory: Inventory,
    plays: Collection[str],
) -> Route | None:
    """Return the route of the load balancers that must learn of these VMs; None: none must."""
    vms = {definition.name: definition for definition in definitions}
    servers = _load_balancers([Route("", hosts=tuple(names))], vms, inventory)
    return Route(_LOAD_BALANCER, follows=servers) if servers and _LOAD_BALANCER in plays else None


def main_play(name: str, inventory: Inventory, plays: Collection[str]) -> str | None:
    """Return the play that makes a VM what it is for; None where the site has none.

    A Kubernetes VM's play is its kind's; any other VM may have one of its own name.
    """
    if name in plays and not name.startswith("k8s-"):
        return name
    for group, play in _PLAY_OF_GROUP.items():
        if name in members(inventory, group):
            return play if play in plays else None
    return name if name in plays else None


def configures(play: str, name: str, inventory: Inventory, plays: Collection[str]) -> bool:
    """Tell whether a VM is configured once this play has succeeded on it."""
    return play in (_EVERYTHING, main_play(name, inventory, plays))


def members(inventory: Inventory, group: str) -> frozenset[str]:
    """Return the hosts of a group and of the groups below it; none where there is no such group."""
    found: set[str] = set()
    seen: set[str] = set()
    left = [group]
    while left:
        current = left.pop()
        if current in seen or current not in inventory.groups:
            continue
        seen.add(current)
        found.update(inventory.groups[current].hosts)
        left.extend(inventory.groups[current].children)
    return frozenset(found & inventory.hosts.keys())


def unfit(definition: Definition) -> str | None:
    """Return why no play can run on a VM, if so."""
    if not definition.managed:
        return "it is not managed (managed: false)"
    if definition.template:
        return "it is a template"
    if definition.vm_state == "stopped":
        return "it is to be stopped (vm_state: stopped)"
    return None


def _route_of(
    name: str,
    vms: Mapping[str, Definition],
    inventory: Inventory,
    plays: Collection[str],
) -> Route:
    if name not in vms or name not in inventory.hosts:
        if name in plays:
            return Route(name, whole=True)
        raise RoutingError(
            f"the commit's tag [ansible {name}] names neither a VM of vms/ nor a play of plays/"
            f"{_nearest(name, {*vms, *plays})}"
        )
    reason = unfit(vms[name])
    if reason:
        raise RoutingError(
            f"the commit's tag [ansible {name}] names a VM that no play runs on: {reason}, says "
            f"{vms[name].source.at()}"
        )
    return Route(_play_for(name, inventory, plays), hosts=(name,))


def _play_for(name: str, inventory: Inventory, plays: Collection[str]) -> str:
    play = main_play(name, inventory, plays)
    if play is None:
        raise RoutingError(_without_play(name, inventory, plays))
    return play


def _without_play(name: str, inventory: Inventory, plays: Collection[str]) -> str:
    """Say which play a VM lacks: its group's, or one of its own where no group has any."""
    tag = f"the commit's tag [ansible {name}]"
    for group, play in _PLAY_OF_GROUP.items():
        if name in members(inventory, group):
            return f"{tag} needs plays/{play}.yml, which is not there{_nearest(play, plays)}"
    return (
        f"{tag} needs plays/{name}.yml, which is not there, since the VM is in none of the groups "
        f"that have a play ({', '.join(_PLAY_OF_GROUP)}){_nearest(name, plays)}"
    )


def _load_balancers(
    routes: Iterable[Route], vms: Mapping[str, Definition], inventory: Inventory
) -> tuple[str, ...]:
    """Return the load balancers that must learn of a control plane."""
    planes = frozenset[str]().union(*(members(inventory, group) for group in _CONTROL_PLANES))
    if not any(
        planes.intersection(one.hosts) or (one.whole and one.play in _CLUSTER_PLAYS)
        for one in routes
    ):
        return ()
    servers = members(inventory, LOAD_BALANCERS)
    return tuple(sorted(name for name in servers if name in vms and not unfit(vms[name])))


def _merge(routes: dict[str, Route], new: Route) -> None:
    """Unite a route with the one of the same play."""
    old = routes.get(new.play, Route(new.play))
    hosts = tuple(dict.fromkeys((*old.hosts, *new.hosts)))
    follows = dict.fromkeys((*old.follows, *new.follows))
    routes[new.play] = replace(
        old,
        hosts=hosts,
        follows=tuple(name for name in follows if name not in hosts),
        whole=old.whole or new.whole,
    )


def _rank(one: Route) -> int:
    if one.play in _CLUSTER_PLAYS:
        return 0
    return 2 if one.play == _LOAD_BALANCER else 1


def _nearest(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, sorted(known), n=1)
    return f": did you mean {close[0]}?" if close else ""
