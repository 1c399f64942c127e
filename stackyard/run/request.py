"""What a commit asks for, made out before anything is touched."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stackyard.fleet import Fleet, known_hosts_of, load_fleet, resolve
from stackyard.inventory import Inventory, build_inventory
from stackyard.routing import Route, is_name, route, tagged_names
from stackyard.run.git import Commit, read_commit


@dataclass(frozen=True, slots=True)
class Request:
    """A commit, the fleet it speaks of, and the routes its tags mean."""

    commit: Commit
    fleet: Fleet  # references are resolved
    inventory: Inventory
    plays: frozenset[str]
    routes: tuple[Route, ...]  # none: the commit asks for nothing


def read_request(site: Path, revision: str, environ: Mapping[str, str]) -> Request:
    """Read a commit's tags and find out what they mean in the site.

    Raises:
        GitError, RoutingError, DefinitionsError, ResolveError, InventoryError: as their rooms say.
    """
    commit = read_commit(site, revision)
    names = tagged_names(commit.message)
    fleet = load_fleet(site)
    inventory = build_inventory(fleet.definitions, known_hosts_of(site, environ))
    plays = site_plays(site)
    routes = route(names, fleet.definitions, inventory, plays)
    if routes:
        fleet = Fleet(fleet.site, resolve(fleet.definitions, environ))
    return Request(commit, fleet, inventory, plays, routes)


def site_plays(site: Path) -> frozenset[str]:
    """Return the names of the playbooks that a tag may name."""
    files = (site / "plays").glob("*.yml")
    return frozenset(file.stem for file in files if file.is_file() and is_name(file.stem))
