"""A definition as keys and values, beside `Config.values` of what is there."""

from stackyard.definitions.model import Definition, Reference
from stackyard.plan.errors import PlanError
from stackyard.plan.observed import SYSTEM_TAGS, TAG
from stackyard.plan.values import Value

_LISTS = frozenset({"nameserver", "searchdomain"})
_TEXTS = frozenset({"description", "sshkeys"})


def desired_values(definition: Definition) -> dict[str, Value]:
    """Return every key the definition has an opinion on; what it leaves alone is absent.

    Disks, networks and addresses are under their own keys (`scsi0`, `net0`, `ipconfig0`). `serial:
    false` is no opinion: a console that a template brings stays.

    Raises:
        PlanError: a reference was not resolved.
    """
    if isinstance(definition.sshkeys, Reference):
        raise PlanError(
            f"{definition.source.at('sshkeys')}: sshkeys of {definition.name} refer to the "
            f"variable {definition.sshkeys.env}, which was not resolved"
        )
    values: dict[str, Value] = {
        "name": definition.name,
        "cores": definition.cores,
        "sockets": definition.sockets,
        "memory": definition.memory_mib,
        "balloon": definition.balloon_mib,
        "cpu_type": definition.cpu_type,
        "numa": definition.numa,
        "onboot": definition.onboot,
        "boot": definition.boot,
        "agent": definition.agent,
        "scsihw": definition.scsihw,
        "machine": definition.machine,
        "args": definition.args,
        "protection": definition.protection,
        "ciuser": definition.ciuser,
        "sshkeys": definition.sshkeys,
        "nameserver": definition.nameserver,
        "searchdomain": definition.searchdomain,
        "description": definition.description,
        "serial": definition.serial or None,
        "tags": tuple(sorted({*definition.tags, TAG})),
    }
    values.update({disk.slot: disk for disk in definition.disks})
    values.update({f"net{number}": nic for number, nic in enumerate(definition.networks)})
    values.update({f"ipconfig{number}": ip for number, ip in enumerate(definition.ipconfigs)})
    return {key: value for key, value in values.items() if value is not None}


def same(key: str, wanted: Value, found: Value) -> bool:
    """Tell whether two values of a key mean the same to Proxmox."""
    return _canonical(key, wanted) == _canonical(key, found)


def _canonical(key: str, value: Value) -> Value:
    if isinstance(value, str) and key in _LISTS:
        return tuple(value.replace(",", " ").replace(";", " ").split())
    if isinstance(value, str) and key in _TEXTS:
        return "\n".join(line.rstrip() for line in value.strip().splitlines())
    if isinstance(value, tuple) and key == "tags":
        return tuple(sorted(set(value) - SYSTEM_TAGS | {TAG} & set(value)))
    return value
