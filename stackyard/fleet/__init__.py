"""The whole fleet: a site's nodes, storages and networks, and the checks across its VMs. Pure."""

from stackyard.fleet.check import check_fleet
from stackyard.fleet.load import Fleet, known_hosts_of, load_checked_site, load_fleet
from stackyard.fleet.networks import Network
from stackyard.fleet.pools import Pool
from stackyard.fleet.resolve import ResolveError, resolve
from stackyard.fleet.site import Node, Site, load_site

__all__ = [
    "Fleet",
    "Network",
    "Node",
    "Pool",
    "ResolveError",
    "Site",
    "check_fleet",
    "known_hosts_of",
    "load_checked_site",
    "load_fleet",
    "load_site",
    "resolve",
]
