"""`stackyard import`: take over a VM that is there, as it is."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stackyard.cli.options import HERE, Site
from stackyard.cli.vms import Audit

if TYPE_CHECKING:
    from stackyard.definitions.load import DefinitionsError
    from stackyard.definitions.model import Definition
    from stackyard.errors import StackyardError
    from stackyard.nornir.audit import AuditLog
    from stackyard.nornir.processor import Event, State
    from stackyard.plan import Observed, ObservedVm
    from stackyard.proxmox.client import Client


def adopt(
    name: Annotated[
        str | None, typer.Argument(help="The VM's name.", metavar="[NAME]", show_default=False)
    ] = None,
    vmid: Annotated[
        int | None,
        typer.Option("--vmid", help="The VM's VMID, instead of its name.", metavar="N", min=100),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="The file to write; outside vms/ the VM is not taken over.",
            metavar="FILE",
            show_default="vms/NAME.yaml",
        ),
    ] = None,
    site: Site = HERE,
    audit: Audit = None,
) -> None:
    """Write a definition of a VM that is there and give the VM our tag: the next plan is empty."""
    from stackyard.cli import vms
    from stackyard.fleet.load import check_site
    from stackyard.fleet.site import load_site
    from stackyard.plan.written import definition_keys
    from stackyard.proxmox.adopt import find_vm

    if (name is None) == (vmid is None):
        raise typer.BadParameter("give either a NAME or --vmid")
    if output is None:
        check_site(site)
    with vms.connected() as client, vms.auditing(audit, site) as log:
        found = find_vm(client, load_site(site), name, vmid)
        (vm,) = found.observed.vms
        path = output or site / "vms" / f"{vm.name}.yaml"
        written = definition_keys(vm, _inherited(site))
        is_ours = _write(path, _document(written.keys), site, found.observed)
        if is_ours:
            _tag(client, vm, path, log)
    for note in (*written.notes, *found.notes):
        typer.echo(f"warning: {vm.name}: {note}, so {path} does not say it", err=True)
    tagged = f"VM {vm.vmid} on {vm.node} has the tag stackyard"
    typer.echo(f"{path} is written, {tagged if is_ours else 'and nothing else was done'}")


def _write(path: Path, text: str, site: Path, observed: "Observed") -> bool:
    """Write the file and tell whether it belongs to the site; no file is left that does not fit."""
    from stackyard.cli import vms
    from stackyard.cli.files import resolved, write_new
    from stackyard.definitions.load import DefinitionsError
    from stackyard.proxmox.adopt import check_adopted

    write_new(path, text)
    if resolved(site / "vms") not in resolved(path).parents:
        return False
    try:
        definitions, fleet_site = vms.load(site)
        check_adopted(_read_from(path, definitions), observed, fleet_site)
    except DefinitionsError as error:
        path.unlink()
        raise _without_file(error, path) from None
    except BaseException:
        path.unlink()
        raise
    return True


def _read_from(path: Path, definitions: "Iterable[Definition]") -> "Definition":
    from stackyard.cli.files import FileError, resolved

    for definition in definitions:
        if resolved(Path(definition.source.path)) == resolved(path):
            return definition
    raise FileError(f"{path} would not be read as a definition: name one vms/NAME.yaml")


def _tag(client: "Client", vm: "ObservedVm", path: Path, log: "AuditLog") -> None:
    """Take the VM over; where that fails no file is left, unless the VM may have the tag."""
    from stackyard.proxmox.adopt import UnclearError, add_tag
    from stackyard.proxmox.errors import ProxmoxError

    # With the tag and without a file it would be pruned.
    kept = (
        f"{path} is kept: VM {vm.vmid} on {vm.node} may have the tag stackyard by now, "
        "remove it if not"
    )
    try:
        add_tag(client, vm)
    except UnclearError as error:
        log(_event(vm, "failed", str(error)))
        raise UnclearError(f"{error}; {kept}") from error
    except ProxmoxError:
        path.unlink()
        raise
    except KeyboardInterrupt:
        log(_event(vm, "failed", "interrupted"))
        with suppress(OSError):  # the terminal may be what has gone
            typer.echo(kept, err=True)
        raise
    log(_event(vm, "done"))


def _without_file(error: "DefinitionsError", path: Path) -> "StackyardError":
    """Return the mistakes of a site, those of a file that is not there any more without it."""
    from stackyard.cli.files import resolved
    from stackyard.errors import StackyardError

    return StackyardError(
        "\n".join(
            f"the definition that the import would write is refused: {problem.sentence}"
            if resolved(Path(problem.path)) == resolved(path)
            else str(problem)
            for problem in error.problems
        )
    )


def _inherited(site: Path) -> tuple[str, ...]:
    """Return the keys that every definition of the site gets; `load` reports their mistakes."""
    from stackyard.definitions.document import DocumentError, Mapping, Problem, read_document
    from stackyard.definitions.files import DEFAULTS
    from stackyard.definitions.load import DefinitionsError

    path = site / "vms" / DEFAULTS
    try:
        document = read_document(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError, DocumentError) as error:
        line = getattr(error, "line", 1)
        raise DefinitionsError([Problem(str(path), line, f"cannot be read: {error}")]) from None
    return tuple(document) if isinstance(document, Mapping) else ()


def _document(keys: dict[str, Any]) -> str:
    import yaml

    class Indented(yaml.SafeDumper):
        """Lists stand below their keys as in the other definitions: yamllint asks for it."""

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            del indentless
            super().increase_indent(flow)

    return yaml.dump(keys, Dumper=Indented, sort_keys=False, allow_unicode=True, width=1000)


def _event(vm: "ObservedVm", state: "State", detail: str = "") -> "Event":
    from stackyard.nornir.processor import Event
    from stackyard.proxmox.adopt import with_tag

    before, after = {"tags": vm.tags}, {"tags": with_tag(vm).tags}
    return Event(str(vm.name), vm.vmid, vm.node, "import", state, detail, before, after)
