"""References become values: the last moment at which a definition needs its environment."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from stackyard.definitions.model import Definition, Reference
from stackyard.errors import StackyardError


class ResolveError(StackyardError):
    """A definition refers to a variable that is not set."""


def resolve(
    definitions: Iterable[Definition], environ: Mapping[str, str]
) -> tuple[Definition, ...]:
    """Replace `{env: NAME}` by the variable's value; VMs that are not managed stay as they are.

    Raises:
        ResolveError: a variable is not set or empty.
    """
    return tuple(_resolved(vm, environ) if vm.managed else vm for vm in definitions)


def _resolved(vm: Definition, environ: Mapping[str, str]) -> Definition:
    if not isinstance(vm.sshkeys, Reference):
        return vm
    value = environ.get(vm.sshkeys.env, "").strip()
    if not value:
        raise ResolveError(
            f"{vm.source.at('sshkeys')}: sshkeys of {vm.name} come from {vm.sshkeys.env}, which is"
            f' not set: export {vm.sshkeys.env}="$(cat ~/.ssh/id_ed25519.pub)"'
        )
    return replace(vm, sshkeys="\n".join(line.strip() for line in value.splitlines()))
