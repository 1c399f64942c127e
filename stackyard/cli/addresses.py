"""`stackyard addresses`: the address plan of a site's networks, and the next free address."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from stackyard.cli.options import HERE, Site

if TYPE_CHECKING:
    from pathlib import Path

    from stackyard.fleet import Fleet, Network

app = typer.Typer(help="Who has which address, and which ones are free.")


@app.callback(invoke_without_command=True)
def addresses(context: typer.Context, site: Site = HERE) -> None:
    """Print the address plan of every network, the free ones included."""
    if context.invoked_subcommand is not None:
        # `addresses --site DIR next` is about DIR too.
        context.default_map = {context.invoked_subcommand: {"site": site}}
        return
    fleet = _load(site)
    for network in fleet.site.networks.values():
        for line in _table(network, fleet):
            typer.echo(line)


@app.command("next")
def next_address(
    site: Site = HERE,
    network: Annotated[
        str | None,
        typer.Option(help="The network, where the site has several.", metavar="NAME"),
    ] = None,
) -> None:
    """Print the lowest free address of a network."""
    from stackyard.fleet.addresses import next_free, taken

    fleet = _load(site)
    chosen = _chosen(fleet, network)
    typer.echo(str(next_free(chosen, taken(chosen, fleet.definitions, str(fleet.site.path)))))


def _load(site: "Path") -> "Fleet":
    from stackyard.fleet import load_fleet
    from stackyard.fleet.addresses import AddressError

    fleet = load_fleet(site)
    if not fleet.site.networks:
        raise AddressError(f"{fleet.site.path} has no networks: there is no address plan")
    return fleet


def _chosen(fleet: "Fleet", name: str | None) -> "Network":
    from stackyard.fleet.addresses import AddressError

    networks = fleet.site.networks
    if name is None and len(networks) == 1:
        return next(iter(networks.values()))
    if name is None or name not in networks:
        missing = f"there is no network {name}" if name else "say which network with --network"
        raise AddressError(f"{missing}: {fleet.site.path} has {', '.join(networks)}")
    return networks[name]


def _table(network: "Network", fleet: "Fleet") -> Iterator[str]:
    from stackyard.fleet.addresses import free, taken

    entries = taken(network, fleet.definitions, str(fleet.site.path))
    gaps = list(free(network, entries))
    yield f"{network.name}  {network.cidr}  {sum(gap.count for gap in gaps)} free"
    rows = sorted([*entries, *gaps], key=lambda entry: (entry.first, entry.last))
    width = max(len(str(row)) for row in rows)
    for row in rows:
        what = row.kind if row.kind == "free" else f"{row.kind:<10}{row.name}"
        count = f" ({row.count})" if row.count > 1 else ""
        yield f"  {row!s:<{width}}  {what}{count}"
