"""`stackyard schema`: the table of keys as a JSON Schema for editors, or as a reference."""

import json
from typing import Annotated

import typer

from stackyard.cli.options import HERE, Site


def schema(
    site: Site = HERE,
    markdown: Annotated[bool, typer.Option("--markdown", help="The reference instead.")] = False,
) -> None:
    """Print the JSON Schema of a VM definition; it knows the nodes that the site has."""
    from stackyard.definitions.reference import reference
    from stackyard.definitions.schema import json_schema
    from stackyard.fleet import load_site

    if markdown:
        typer.echo(reference(), nl=False)
    else:
        typer.echo(json.dumps(json_schema(load_site(site).nodes), indent=2))
