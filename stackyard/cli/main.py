"""The `stackyard` command: one typer application, each command in a module of its own.

Command modules import their rooms inside the functions, so that `--help` pays for none of them.
Exit codes: 0 done, 1 an error, 2 a plan with changes or drift, 3 what was asked for is no more to
be had (a pool is exhausted, a kept plan no longer fits), 4 a store does not answer, 5 both sides of
a sync changed, 64 a command line that makes no sense, 130 interrupted (129 and 143: see `leave`).
"""

import sys
from contextlib import suppress
from typing import Annotated

import typer

from stackyard.cli import (
    addresses,
    adopt,
    apply,
    demo,
    destroy,
    drift,
    inventory,
    kubeconfig,
    lab,
    leave,
    output,
    plan,
    pool,
    ready,
    run,
    schema,
    secrets,
    validate,
)
from stackyard.cli.wholehelp import WholeHelp
from stackyard.errors import StackyardError

USAGE = 64
INTERRUPTED = 130

app = typer.Typer(
    cls=WholeHelp,
    name="stackyard",
    help="YAML VM definitions in, running clusters and their kubeconfigs out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line; a `StackyardError` becomes its sentence and its exit code."""
    try:
        with leave.heard() as leaving:
            said, code = _run(leaving)
        if said:
            with suppress(OSError):  # nobody can be told more than the exit code
                typer.echo(said, err=True)
    finally:
        output.drop_unwritten_errors()
    sys.exit(leaving.exit_code or code)


def _run(leaving: leave.Leaving) -> tuple[str, int]:
    """Return what is to be said at the end, and the exit code."""
    try:
        with output.told():
            code = app(standalone_mode=False)
    except StackyardError as error:
        return f"error: {error}", error.exit_code
    except typer.TyperException as error:
        said = error.format_message()
        is_help = said.startswith("Usage: ")  # nothing was asked for, which is no mistake to name
        command = getattr(getattr(error, "ctx", None), "command_path", "stackyard")
        return (said if is_help else f"error: {said} (see {command} --help)"), USAGE
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except OSError as error:
        if leaving:  # a terminal that hung up takes no last words either
            code = INTERRUPTED
        elif error.filename:  # one of the shell's, which --install-completion writes
            return f"error: {error.filename}: {error.strerror}", 1
        else:
            raise
    # typer makes this code of a KeyboardInterrupt
    return ("interrupted" if code == INTERRUPTED else ""), code or 0


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"stackyard {version('stackyard')}")
        raise typer.Exit


@app.callback()
def stackyard(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """YAML VM definitions in, running clusters and their kubeconfigs out."""


# One line a command, in the order of --help:
app.command("validate")(validate.validate)
app.command("schema")(schema.schema)
app.add_typer(inventory.app, name="inventory")
app.add_typer(addresses.app, name="addresses")
app.command("demo")(demo.demo)
app.command("plan")(plan.plan)
app.command("apply")(apply.apply)
app.command("destroy")(destroy.destroy)
app.command("drift")(drift.drift)
app.command("import")(adopt.adopt)
app.command("ready")(ready.ready)
app.command("run")(run.run)
app.add_typer(kubeconfig.app, name="kubeconfig")
app.add_typer(pool.app, name="pool")
app.add_typer(secrets.app, name="secrets")
app.add_typer(lab.app, name="lab")


if __name__ == "__main__":
    main()
