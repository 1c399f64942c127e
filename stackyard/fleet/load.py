"""A site in, its fleet or all of its mistakes out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stackyard.definitions.document import Problem
from stackyard.definitions.load import DefinitionsError, read_vms
from stackyard.definitions.model import Definition
from stackyard.fleet.check import check_fleet
from stackyard.fleet.site import Site, load_site

KNOWN_HOSTS = "STACKYARD_KNOWN_HOSTS"


@dataclass(frozen=True, slots=True)
class Fleet:
    """A site and its definitions, checked one by one and against each other."""

    site: Site
    definitions: tuple[Definition, ...]


def load_fleet(site: Path) -> Fleet:
    """Load a site and check all of it.

    Raises:
        DefinitionsError: with every mistake of every file.
    """
    definitions, problems = read_vms(site / "vms")
    found: list[Problem] = list(problems)
    try:
        loaded = load_site(site)
    except DefinitionsError as error:
        raise DefinitionsError([*found, *error.problems]) from None
    found += check_fleet(definitions, loaded)
    if found:
        raise DefinitionsError(found)
    return Fleet(loaded, definitions)


def known_hosts_of(site: Path, environ: Mapping[str, str]) -> Path:
    """Return the file of a site's pinned host keys."""
    return Path(environ.get(KNOWN_HOSTS) or site / "inventory" / "known_hosts").absolute()
