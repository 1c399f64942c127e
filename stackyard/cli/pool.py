"""`stackyard pool`: addresses for clusters that come and go."""

import datetime as dt
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stackyard.cli.options import HERE, Site
from stackyard.cli.wholehelp import WholeHelp

if TYPE_CHECKING:
    from stackyard.addresses import Block
    from stackyard.fleet import Pool
    from stackyard.fleet import Site as LoadedSite
    from stackyard.stores import Store

app = typer.Typer(
    cls=WholeHelp, help="Addresses for clusters that come and go.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The cluster.")]
PoolOption = Annotated[
    str | None,
    typer.Option(
        "--pool",
        help="A pool of inventory/site.yml.",
        metavar="POOL",
        show_default="the only one there is",
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="Where the allocations are, as vault:MOUNT/PATH or file:PATH.",
        metavar="STORE",
        show_default="the pool's",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Ttl = Annotated[
    str | None,
    typer.Option(
        "--ttl",
        help="Renew the allocation for this long, as 45m, 24h or 7d.",
        metavar="TIME",
        show_default="the pool's",
    ),
]


@app.command()
def allocate(
    name: Name,
    pool: PoolOption = None,
    ttl: Ttl = None,
    store: StoreOption = None,
    site: Site = HERE,
    as_json: Json = False,
) -> None:
    """Print a cluster's VIP, the same each time; exit with 3 when no block is free."""
    from stackyard import addresses
    from stackyard.fleet import load_checked_site
    from stackyard.stores.pools import change_allocations

    # What a VM or the network itself has is never given away, so all of the site must be right.
    found, place = _open(load_checked_site(site), site, pool, store)
    lifetime = _lifetime(ttl) or found.ttl
    block, changed = change_allocations(
        place, lambda before: addresses.allocate(before, found, name, _now(), lifetime)
    )
    span = " and ".join(str(address) for address in block.addresses)
    typer.echo(f"{name}: {span}, {'allocated' if changed else 'as it was'}", err=True)
    typer.echo(json.dumps(_shown(block)) if as_json else block.vip)


@app.command()
def release(
    name: Name,
    pool: PoolOption = None,
    store: StoreOption = None,
    site: Site = HERE,
    as_json: Json = False,
) -> None:
    """Give a cluster's addresses back; it is no error when it has none."""
    from stackyard import addresses
    from stackyard.fleet import load_site
    from stackyard.stores.pools import change_allocations

    found, place = _open(load_site(site), site, pool, store)
    freed, _ = change_allocations(place, lambda before: addresses.release(before, found, name))
    typer.echo(f"{name}: {'released' if freed else 'was not there'}", err=True)
    if as_json:
        typer.echo(json.dumps({"cluster": name, "released": [str(address) for address in freed]}))


@app.command("list")
def list_blocks(
    pool: PoolOption = None, store: StoreOption = None, site: Site = HERE, as_json: Json = False
) -> None:
    """Print who has what: VIP, cluster, all addresses, end of the lease."""
    from stackyard.addresses import held
    from stackyard.fleet import load_site
    from stackyard.stores.pools import read_allocations

    found, place = _open(load_site(site), site, pool, store)
    _show(held(read_allocations(place), found), as_json)


@app.command()
def capacity(
    pool: PoolOption = None, store: StoreOption = None, site: Site = HERE, as_json: Json = False
) -> None:
    """Print how many clusters the pool has room for, and for how many it still has."""
    from stackyard import addresses
    from stackyard.fleet import load_site
    from stackyard.stores.pools import read_allocations

    found, place = _open(load_site(site), site, pool, store)
    total, free = addresses.capacity(read_allocations(place), found)
    counts = {"total": total, "used": total - free, "free": free}
    if as_json:
        typer.echo(json.dumps({"pool": found.name, **counts}))
    else:
        typer.echo("\n".join(f"{key}\t{value}" for key, value in counts.items()))


@app.command()
def reap(
    pool: PoolOption = None, store: StoreOption = None, site: Site = HERE, as_json: Json = False
) -> None:
    """Give back every allocation whose time is over, and print them."""
    from stackyard import addresses
    from stackyard.fleet import load_site
    from stackyard.stores.pools import change_allocations

    found, place = _open(load_site(site), site, pool, store)
    over, _ = change_allocations(place, lambda before: addresses.reap(before, found, _now()))
    typer.echo(f"{len(over)} reaped", err=True)
    _show(over, as_json)


def _open(
    loaded: "LoadedSite", site: Path, name: str | None, store: str | None
) -> "tuple[Pool, Store]":
    from stackyard.addresses import PoolError
    from stackyard.stores.open import below
    from stackyard.stores.pools import open_allocations

    if not loaded.pools:
        raise PoolError(f"{loaded.path} has no pools")
    known = ", ".join(loaded.pools)
    if name is None and len(loaded.pools) != 1:
        raise PoolError(f"which pool? Give --pool; {loaded.path} has {known}")
    pool = loaded.pools.get(next(iter(loaded.pools)) if name is None else name)
    if pool is None:
        raise PoolError(f"there is no pool {name}: {loaded.path} has {known}")
    # From wherever it is called, a pool has one place.
    return pool, open_allocations(store or below(site, pool.store), os.environ)


def _lifetime(text: str | None) -> dt.timedelta | None:
    from stackyard.fleet.pools import duration

    found = duration(text) if text else None
    if text and found is None:
        raise typer.BadParameter(f"{text!r} is no time as 45m, 24h or 7d", param_hint="--ttl")
    return found


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _show(blocks: "Iterable[Block]", as_json: bool) -> None:
    rows = [_shown(block) for block in blocks]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        spans = ",".join(row["addresses"])
        typer.echo(f"{row['vip']}\t{row['cluster']}\t{spans}\t{row['expires'] or 'never'}")


def _shown(block: "Block") -> dict[str, Any]:
    return {
        "cluster": block.cluster,
        "vip": str(block.vip),
        "addresses": [str(address) for address in block.addresses],
        "expires": block.expires.isoformat() if block.expires else None,
    }
