"""`stackyard inventory`: the hosts and groups of a site, without Ansible and without a network."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stackyard.cli.options import HERE, Site, complete_vms
from stackyard.cli.wholehelp import WholeHelp

if TYPE_CHECKING:
    from stackyard.inventory import Inventory

app = typer.Typer(
    cls=WholeHelp, help="Hosts and groups, as Ansible and Nornir get them.", no_args_is_help=True
)


class Format(StrEnum):
    """How an inventory can be exported."""

    yaml = "yaml"
    ini = "ini"
    json = "json"


@app.command("list")
def list_hosts(site: Site = HERE) -> None:
    """Print all that vms/ gives, in the form of `ansible-inventory --list --export`."""
    from stackyard.inventory.view import as_list

    typer.echo(_json(as_list(_load(site))))


@app.command()
def graph(site: Site = HERE) -> None:
    """Print groups and hosts as a tree."""
    from stackyard.inventory.view import as_graph

    typer.echo(as_graph(_load(site)))


@app.command()
def host(
    name: Annotated[
        str, typer.Argument(help="The host.", metavar="NAME", autocompletion=complete_vms)
    ],
    site: Site = HERE,
) -> None:
    """Print the variables that vms/ gives one host, its groups' included."""
    from stackyard.inventory.templates import marked, unsafe
    from stackyard.inventory.view import variables_of

    typer.echo(_json(marked(variables_of(_load(site), name), unsafe)))


@app.command()
def export(
    site: Site = HERE,
    form: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.yaml,
    output: Annotated[
        Path | None,
        typer.Option(help="A file, replaced as a whole, instead of stdout.", metavar="FILE"),
    ] = None,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Let there be no host.")
    ] = False,
) -> None:
    """Write an inventory that Ansible reads without any plugin."""
    from stackyard.cli.files import check_not_source, write_public
    from stackyard.inventory.export import FORMATS

    if output:
        check_not_source(output, site)
    inventory = _load(site, _pinned(site, output), allow_empty=allow_empty)
    text = FORMATS[form](inventory)
    if output is None:
        typer.echo(text, nl=False)
        return
    write_public(output, text)
    typer.echo(f"{len(inventory.hosts)} hosts in {output}", err=True)


def _pinned(site: Path, output: Path | None) -> Path:
    """Return where an export has the pinned keys: from beside the file on, in every checkout.

    Nobody knows where standard output is kept, so that it has the whole path.
    """
    from stackyard.cli.files import resolved
    from stackyard.fleet import known_hosts_of
    from stackyard.fleet.load import KNOWN_HOSTS

    known_hosts = known_hosts_of(site, os.environ)
    if output is None or Path(os.environ.get(KNOWN_HOSTS, "")).is_absolute():
        return known_hosts
    # Through the links, as the way up from the file leads.
    kept, written = resolved(known_hosts.parent), resolved(output.parent)
    return Path("{{ inventory_dir }}", os.path.relpath(kept / known_hosts.name, written))


def _load(site: Path, known_hosts: Path | None = None, *, allow_empty: bool = False) -> "Inventory":
    from stackyard.fleet import known_hosts_of, load_fleet
    from stackyard.inventory import build_inventory

    pinned = known_hosts or known_hosts_of(site, os.environ)
    return build_inventory(load_fleet(site, allow_empty=allow_empty).definitions, pinned)


def _json(value: Any) -> str:
    import json

    from stackyard.inventory.export import date_text

    return json.dumps(value, indent=2, ensure_ascii=False, default=date_text)
