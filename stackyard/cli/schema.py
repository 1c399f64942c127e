"""`stackyard schema`: the table of keys as a JSON Schema for editors, or as a reference."""

import json
from typing import Annotated

import typer


def schema(
    markdown: Annotated[bool, typer.Option("--markdown", help="The reference instead.")] = False,
) -> None:
    """Print the JSON Schema of a VM definition."""
    from stackyard.definitions.reference import reference
    from stackyard.definitions.schema import json_schema

    typer.echo(reference() if markdown else json.dumps(json_schema(), indent=2), nl=not markdown)
