"""`stackyard import`: take over a VM that is there, as it is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stackyard.cli.options import HERE, Site
from stackyard.cli.vms import Audit

if TYPE_CHECKING:
    from stackyard.nornir.processor import Event
    from stackyard.plan import Observed, ObservedVm
    from stackyard.plan.values import Change
    from stackyard.proxmox.client import Client


def adopt(
    name: Annotated[
        str | None, typer.Argument(help="The VM's name.", metavar="[NAME]", show_default=False)
    ] = None,
    vmid: Annotated[
        int | None, typer.Option("--vmid", help="The VM's VMID, instead of its name.", min=100)
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
    from stackyard.fleet.site import load_site
    from stackyard.plan.written import definition_keys
    from stackyard.proxmox.adopt import find_vm

    if (name is None) == (vmid is None):
        raise typer.BadParameter("give either a NAME or --vmid")
    with vms.connected() as client, vms.auditing(audit, site) as log:
        found = find_vm(client, load_site(site), name, vmid)
        (vm,) = found.observed.vms
        path = output or site / "vms" / f"{vm.name}.yaml"
        written = definition_keys(vm, _inherited(site))
        change = _write(client, path, _document(written.keys), site, found.observed)
        if change is not None:
            log(_event(vm, change))
    for note in (*written.notes, *found.notes):
        typer.echo(f"warning: {vm.name}: {note}, so {path} does not say it", err=True)
    tagged = f"VM {vm.vmid} on {vm.node} has the tag stackyard"
    typer.echo(f"{path} is written, {tagged if change else 'and nothing else was done'}")


def _write(
    client: "Client", path: Path, text: str, site: Path, observed: "Observed"
) -> "Change | None":
    """Write the file and, where it belongs to the site, take the VM over; else leave no file."""
    from stackyard.cli import vms
    from stackyard.cli.files import write_new
    from stackyard.proxmox.adopt import UnclearError, add_tag, check_adopted
    from stackyard.proxmox.errors import ProxmoxError

    write_new(path, text)
    if path.absolute().parent != (site / "vms").absolute():
        return None
    try:
        definitions, fleet_site = vms.load(site)
        vm = observed.vms[0]
        definition = next(d for d in definitions if d.name == vm.name)
        check_adopted(definition, observed, fleet_site)
    except BaseException:
        path.unlink()
        raise
    try:
        return add_tag(client, vm)
    except UnclearError as error:  # with the tag and without a file it would be pruned
        tagged = f"VM {vm.vmid} on {vm.node} may have the tag stackyard by now"
        raise UnclearError(f"{error}; {path} is kept: {tagged}, remove it if not") from error
    except ProxmoxError:
        path.unlink()
        raise


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

    return yaml.safe_dump(keys, sort_keys=False, allow_unicode=True, width=1000)


def _event(vm: "ObservedVm", change: "Change") -> "Event":
    from stackyard.nornir.processor import Event

    before, after = {change.key: change.before}, {change.key: change.after}
    return Event(str(vm.name), vm.vmid, vm.node, "import", "done", "", before, after)
