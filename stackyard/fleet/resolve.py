"""References become values: the last moment at which a definition needs its environment."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from stackyard.definitions.model import Definition, Reference
from stackyard.definitions.values import BadValueError, public_keys
from stackyard.errors import StackyardError


class ResolveError(StackyardError):
    """A definition refers to a variable that is not set, or that holds something else."""


def resolve(
    definitions: Iterable[Definition], environ: Mapping[str, str]
) -> tuple[Definition, ...]:
    """Replace `{env: NAME}` by the variable's value; VMs that are not managed stay as they are.

    Raises:
        ResolveError: a variable is not set, or holds no public keys.
    """
    return tuple(_resolved(vm, environ) if vm.managed else vm for vm in definitions)


def _resolved(vm: Definition, environ: Mapping[str, str]) -> Definition:
    if not isinstance(vm.sshkeys, Reference):
        return vm
    value, place = environ.get(vm.sshkeys.env, "").strip(), vm.source.at("sshkeys")
    if not value:
        raise ResolveError(
            f"{place}: sshkeys of {vm.name} come from {vm.sshkeys.env}, which is"
            f' not set: export {vm.sshkeys.env}="$(cat ~/.ssh/id_ed25519.pub)"'
        )
    try:
        return replace(vm, sshkeys=public_keys(value.splitlines()))
    except BadValueError as error:
        raise ResolveError(
            f"{place}: {vm.sshkeys.env}, the sshkeys of {vm.name}, {error}"
        ) from None
