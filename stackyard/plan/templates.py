"""The template of a clone: one that is there, or one that the same plan makes before it."""

from collections.abc import Mapping

from stackyard.definitions.model import Definition
from stackyard.plan.checks import missing_template
from stackyard.plan.cloning import after_clone, clone_of
from stackyard.plan.desired import desired_values
from stackyard.plan.observed import Config, Observed, ObservedVm


def template_for(
    definition: Definition,
    name: str,
    fleet: tuple[Definition, ...],
    observed: Observed,
    vmids: Mapping[str, int],
) -> ObservedVm | str:
    """Return the template to clone, as it is or as it is going to be, or why there is none."""
    node = definition.target_node
    found = observed.template(node, name)
    if found is not None:
        return found
    maker = next((d for d in fleet if _makes(d, name, node)), None)
    if maker is None:
        return missing_template(name, node, observed)
    config = _going_to_be(maker, observed)
    if config is None:
        return f"the template {name} on {node} cannot be foretold: apply it first, then its clones"
    return ObservedVm(vmids[name], node, name, template=True, config=config)


def _makes(definition: Definition, name: str, node: str) -> bool:
    return (
        definition.managed
        and definition.template
        and definition.name == name
        and definition.target_node == node
    )


def _going_to_be(maker: Definition, observed: Observed) -> Config | None:
    """Predict a template's configuration: what it has or is cloned with, and what is wanted."""
    base = Config()
    ours = observed.ours(maker.name)
    if ours:
        base = ours[0].config or base
    elif maker.clone is not None:
        source = observed.template(maker.target_node, maker.clone)
        if source is None or source.config is None:
            return None
        base = after_clone(source.config, clone_of(source, maker), maker.name)
    return Config(values={**base.values, **desired_values(maker)}, keep=base.keep)
