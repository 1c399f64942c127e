"""A site in, its fleet or all of its mistakes out."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stackyard.definitions.document import Problem
from stackyard.definitions.files import DEFAULTS, read_files
from stackyard.definitions.load import DefinitionsError, read_vms
from stackyard.definitions.model import Definition
from stackyard.errors import StackyardError
from stackyard.fleet.check import check_fleet
from stackyard.fleet.site import Site, read_site
from stackyard.inventory import ClashError, build_inventory

KNOWN_HOSTS = "STACKYARD_KNOWN_HOSTS"


class NoSiteError(StackyardError):
    """A folder is not a site."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """A site and its definitions, checked one by one and against each other."""

    site: Site
    definitions: tuple[Definition, ...]


def check_site(site: Path) -> None:
    """Refuse a folder that has no definitions at all: most likely the wrong one.

    Raises:
        NoSiteError: it has no vms/.
    """
    if not os.path.lexists(site / "vms"):
        raise NoSiteError(f"{site.absolute()} is no site (it has no vms/): name one, --site DIR")


def load_fleet(site: Path, *, allow_empty: bool = False) -> Fleet:
    """Load a site and check all of it.

    Raises:
        NoSiteError: the folder is none.
        DefinitionsError: with every mistake of every file, or that there is no definition and
            there must be one.
    """
    check_site(site)
    definitions, problems = read_vms(read_files(site / "vms"), allow_empty=allow_empty)
    loaded, mistakes = read_site(site)
    wrong = {problem.path for problem in problems}
    if str(site / "vms" / DEFAULTS) in wrong:  # then so may be what any VM inherits
        wrong |= {vm.source.path for vm in definitions}
    problems = (*problems, *mistakes, *check_fleet(definitions, loaded, wrong))
    if problems:
        raise DefinitionsError((*problems, *_clash(definitions)))
    return Fleet(loaded, definitions)


def _clash(definitions: tuple[Definition, ...]) -> Iterator[Problem]:
    """Yield why the definitions would make no inventory either; who needs one is told by it."""
    try:
        build_inventory(definitions)
    except ClashError as error:
        yield error.problem


def load_checked_site(site: Path) -> Site:
    """Return what a site has, checked as a fleet is; the site may have no VM at all.

    Raises:
        DefinitionsError: with every mistake of every file.
    """
    if (site / "vms").exists():
        return load_fleet(site).site
    loaded, mistakes = read_site(site)
    if problems := (*mistakes, *check_fleet((), loaded)):
        raise DefinitionsError(problems)
    return loaded


def known_hosts_of(site: Path, environ: Mapping[str, str]) -> Path:
    """Return the file of a site's pinned host keys, the one that Ansible's plugin names."""
    return (site / "inventory" / (environ.get(KNOWN_HOSTS) or "known_hosts")).absolute()
