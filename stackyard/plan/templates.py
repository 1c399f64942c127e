"""The template of a clone as it is going to be: the same plan may make it before, or change it."""

from collections.abc import Iterator
from dataclasses import replace

from stackyard.definitions.model import Definition, Disk
from stackyard.plan.checks import missing_template
from stackyard.plan.cloning import after_clone, clone_of
from stackyard.plan.desired import desired_values
from stackyard.plan.differ import compare
from stackyard.plan.observed import Config, ObservedVm
from stackyard.plan.steps import after_move, move_of
from stackyard.plan.world import World


def template_for(definition: Definition, name: str, world: World) -> ObservedVm | str:
    """Return the template to clone, as it is or as it is going to be, or why there is none."""
    node = definition.target_node
    found = world.observed.template(node, name)
    maker = next((d for d in world.fleet if d.managed and d.template and d.name == name), None)
    if maker is None or (found and found.vmid != world.vmids[name]):
        return found or missing_template(name, node, world.observed)
    if maker.target_node != node:
        if found:
            return f"the template {name} moves from {node} to {maker.target_node}: clone it there"
        return missing_template(name, node, world.observed)
    config = _going_to_be(maker, world)
    if config is None:
        return f"the template {name} on {node} cannot be foretold: apply it first, then its clones"
    return ObservedVm(world.vmids[name], node, name, template=True, config=config)


def several_templates(chosen: ObservedVm, world: World) -> Iterator[str]:
    """Say which one is cloned, where a node has several templates of that name."""
    vms = world.observed.templates(chosen.node, chosen.name or "")
    if len(vms) > 1:
        vmids = ", ".join(str(vmid) for vmid in sorted(vm.vmid for vm in vms))
        named = f"{chosen.node} has {len(vms)} templates named {chosen.name} ({vmids})"
        yield f"{named}: VM {chosen.vmid} is cloned"


def _going_to_be(maker: Definition, world: World) -> Config | None:
    """Predict a template's configuration: what it has or is cloned with, and what is wanted."""
    ours = world.observed.ours(maker.name)
    if ours and maker.name not in world.consent.replace:
        config = ours[0].config or Config()
        move = move_of(maker, ours[0], world.observed.shared_storages)
        if move:
            config = after_move(config, move, world.observed.file_storages)
        return _changed(maker, config, world)
    if maker.clone is None:
        return Config(values=desired_values(maker))
    source = world.observed.template(maker.target_node, maker.clone)
    if source is None or source.config is None:
        return None
    return _changed(maker, after_clone(source.config, clone_of(source, maker), maker.name), world)


def _changed(maker: Definition, config: Config, world: World) -> Config:
    """Predict a configuration after all that its definition changes."""
    difference = compare(maker, config, extra=world.consent.extra)
    values = dict(config.values)
    for change in (*difference.released, *difference.changes):
        values[change.key] = change.after
    disks = {slot: value for slot, value in values.items() if isinstance(value, Disk)}
    for move in difference.moves:
        disk = disks[move.slot]
        disks[move.slot] = replace(disk, storage=move.storage, format=move.format or disk.format)
    for grow in difference.grows:
        disks[grow.slot] = replace(disks[grow.slot], size_bytes=grow.size_bytes)
    gone = {erase.slot for erase in difference.erased}
    gone |= {key for key, value in values.items() if value is None}
    return replace(config, values={k: v for k, v in {**values, **disks}.items() if k not in gone})
