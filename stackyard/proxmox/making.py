"""Steps that make a VM and write its configuration."""

from dataclasses import replace

from stackyard.definitions.model import Disk
from stackyard.plan.differ import is_for_guest
from stackyard.plan.observed import Config, marker
from stackyard.plan.values import Change, Clone, Configure, Create
from stackyard.proxmox import wire
from stackyard.proxmox.errand import Errand
from stackyard.proxmox.pools import put_into_pool
from stackyard.proxmox.power import is_running


def clone(errand: Errand, step: Clone) -> None:
    """Copy the template; only so many copies are made at a time on a storage."""
    full = {"storage": step.storage, "format": step.format} if step.full else {}
    template = f"{errand.vms}/{step.template_vmid}"
    with errand.jobs.cloning(errand.node, step.storage):
        errand.halt.check()  # waiting for a place takes long
        errand.jobs.check_once(template, lambda: _check_template(errand, template))
        errand.run(
            "clone",
            lambda: errand.client.post(
                f"{template}/clone",
                newid=errand.action.vmid,
                name=errand.action.name,
                full=step.full,
                description=marker(errand.action.name),
                **full,
                **({"pool": step.pool} if step.pool else {}),
            ),
        )


def _check_template(errand: Errand, template: str) -> None:
    # Proxmox clones whatever has the VMID: while a template is rebuilt, somebody's half-built VM.
    if str(errand.client.get(f"{template}/config").get("template")) != "1":
        raise errand.moved(f"its template, VM {template.rpartition('/')[2]}, is none any more")


def create(errand: Errand, step: Create) -> None:
    """Make the VM from nothing."""
    parameters = wire.parameters(step.changes)
    errand.run(
        "create",
        lambda: errand.client.post(errand.vms, vmid=errand.action.vmid, **parameters),
    )


def configure(errand: Errand, step: Configure) -> None:
    """Write the configuration; a pool is none of its options."""
    pool = next((change.after for change in step.changes if change.key == "pool"), None)
    options = tuple(change for change in step.changes if change.key != "pool")
    if options:
        _write(errand, options)
    if isinstance(pool, str):
        put_into_pool(errand.client, errand.action.vmid, pool)


def _write(errand: Errand, changes: tuple[Change, ...]) -> None:
    is_for_start = errand.action.status == "stopped" and any(map(is_for_guest, changes))
    if is_for_start and not errand.is_new and is_running(errand):
        raise errand.moved("it was started since the plan was made")
    digest = errand.digest
    if digest is None:
        config = errand.fresh()
        digest = str(config.digest)
        changes = tuple(_on_its_volume(errand, change, config) for change in changes)
    path, form = f"{errand.vm}/config", wire.parameters(changes)
    if any(map(_imports, changes)):
        errand.run("configuration", lambda: errand.client.post(path, digest=digest, **form))
    else:
        errand.put(path, digest, errand.is_being_made, **form)
    errand.digest = None


def _imports(change: Change) -> bool:
    """Tell whether an image is copied, for which a task has the time that no answer has."""
    after = change.after
    return isinstance(after, Disk) and after.volume is None and after.import_from is not None


def _on_its_volume(errand: Errand, change: Change, config: Config) -> Change:
    """Return the change of a disk with the volume that it has: a plan of a clone cannot know it.

    Without one Proxmox would put a new, blank disk in its place.
    """
    before, after = change.before, change.after
    if not (isinstance(before, Disk) and isinstance(after, Disk)):
        return change
    if after.media != "disk" or after.volume is not None:
        return change
    there = config.disks().get(change.key)
    if there is None or there.volume is None:
        raise errand.moved(f"{change.key} changed since the plan was made")
    return replace(change, after=replace(after, volume=there.volume, size_bytes=there.size_bytes))
