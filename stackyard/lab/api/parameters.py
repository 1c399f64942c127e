"""The parameters of every call the lab knows, and the check that a call's hold."""

from collections.abc import Iterable, Mapping

from stackyard.lab.api import formats as f
from stackyard.lab.api import values as v
from stackyard.lab.api.devices import BOOL, COUNT, NATURAL, TEXT, Table, enum
from stackyard.lab.api.faults import invalid_parameters
from stackyard.lab.api.formats import MISSING, UNKNOWN, Rule
from stackyard.lab.api.options import DISK_SLOTS, VM_OPTIONS, rule_of

Raw = Mapping[str, str | list[str]]

_RESIZABLE = (*DISK_SLOTS, "efidisk0", "tpmstate0")

VMID = Rule("integer", optional=False, format=v.vm_id, minimum=100, maximum=999999999)
OPTIONAL_VMID = Rule("integer", format=v.vm_id, minimum=100, maximum=999999999)
NODE = Rule(format=v.node_name)
STORAGE = Rule(format=v.storage_id)
POOL = Rule(format=v.pool_id)
_NEEDED = Rule(optional=False)
_TIMEOUT: Table = {"timeout": NATURAL, "skiplock": BOOL}

CREATE: Table = VM_OPTIONS | {
    "vmid": VMID,
    "bwlimit": NATURAL,
    "force": BOOL,
    "ha-managed": BOOL,
    "import-working-storage": STORAGE,
    "pool": POOL,
    "start": BOOL,
    "storage": STORAGE,
    "unique": BOOL,
}
UPDATE: Table = VM_OPTIONS | {
    "delete": TEXT,
    "digest": Rule(max_length=40),
    "force": Rule("boolean", requires="delete"),
    "revert": TEXT,
    "skiplock": BOOL,
}
UPDATE_ASYNC: Table = UPDATE | {
    "background_delay": Rule("integer", minimum=1, maximum=30),
    "import-working-storage": STORAGE,
}
CLONE: Table = {
    "newid": VMID,
    "bwlimit": NATURAL,
    "description": TEXT,
    "format": enum("raw qcow2 vmdk"),
    "full": BOOL,
    "name": Rule(format=v.dns_name),
    "pool": POOL,
    "snapname": Rule(max_length=40),
    "storage": STORAGE,
    "target": NODE,
}
DESTROY: Table = {"destroy-unreferenced-disks": BOOL, "purge": BOOL, "skiplock": BOOL}
RESIZE: Table = {
    "disk": Rule(optional=False, enum=_RESIZABLE),
    "size": Rule(optional=False, pattern=r"\+?\d+(\.\d+)?[KMGT]?"),
    "digest": Rule(max_length=40),
    "skiplock": BOOL,
}
MOVE_DISK: Table = {
    "disk": Rule(optional=False, enum=_RESIZABLE),
    "storage": STORAGE,
    "bwlimit": NATURAL,
    "delete": BOOL,
    "digest": Rule(max_length=40),
    "format": enum("raw qcow2 vmdk"),
}
TEMPLATE: Table = {"disk": Rule(enum=_RESIZABLE)}
MIGRATE: Table = {
    "target": Rule(optional=False, format=v.node_name),
    "bwlimit": NATURAL,
    "force": BOOL,
    "online": BOOL,
    "targetstorage": TEXT,
    "with-local-disks": BOOL,
}
START: Table = _TIMEOUT
STOP: Table = _TIMEOUT | {"keepActive": BOOL, "overrule-shutdown": BOOL}
SHUTDOWN: Table = _TIMEOUT | {"forceStop": BOOL, "keepActive": BOOL}
REBOOT: Table = {"timeout": NATURAL}
SKIPLOCK: Table = {"skiplock": BOOL}
SUSPEND: Table = SKIPLOCK | {"todisk": BOOL, "statestorage": STORAGE}
RESUME: Table = SKIPLOCK | {"nocheck": BOOL}
CONFIG: Table = {"current": BOOL, "snapshot": Rule(max_length=40)}
DUMP: Table = {"type": Rule(optional=False, enum=("user", "network", "meta"))}
FILE_READ: Table = {
    "file": _NEEDED,
    "count": COUNT,
    "decode": BOOL,
    "offset": NATURAL,
}
TASKS: Table = {
    "errors": BOOL,
    "limit": NATURAL,
    "since": Rule("integer"),
    "source": enum("archive active all"),
    "start": NATURAL,
    "typefilter": TEXT,
    "until": Rule("integer"),
    "userfilter": TEXT,
    "vmid": OPTIONAL_VMID,
}
TASK_LOG: Table = {"limit": NATURAL, "start": NATURAL}
STORAGES: Table = {
    "content": TEXT,
    "enabled": BOOL,
    "format": BOOL,
    "storage": STORAGE,
    "target": NODE,
}
CONTENT: Table = {"content": TEXT, "vmid": OPTIONAL_VMID}
ADD_STORAGE: Table = {
    "storage": Rule(optional=False, format=v.storage_id),
    "type": Rule(optional=False, enum=("dir", "lvmthin")),
    "content": TEXT,
    "nodes": TEXT,
    "path": TEXT,
    "shared": BOOL,
    "thinpool": TEXT,
    "vgname": TEXT,
}
_HA: Table = {
    "comment": Rule(max_length=4096),
    "failback": BOOL,
    "group": Rule(format=v.config_id),
    "max_relocate": NATURAL,
    "max_restart": NATURAL,
    "state": enum("started stopped enabled disabled ignored"),
}
HA_TYPE: Table = {"type": enum("ct vm")}
ADD_HA: Table = _HA | HA_TYPE | {"sid": Rule(optional=False, format=v.ha_service)}
CHANGE_HA: Table = _HA | {"delete": Rule(max_length=4096), "digest": Rule(max_length=64)}
DELETE_HA: Table = {"purge": BOOL}
RESOURCES: Table = {"type": enum("vm storage node sdn")}
NEXT_ID: Table = {"vmid": OPTIONAL_VMID}
NODE_LIST: Table = {"full": BOOL}
TICKET: Table = {
    "username": Rule(optional=False, max_length=64),
    "password": _NEEDED,
    "new-format": BOOL,
    "otp": TEXT,
    "path": Rule(max_length=64),
    "privs": Rule(max_length=64),
    "realm": Rule(max_length=32),
    "tfa-challenge": TEXT,
}
PERMISSIONS: Table = {"path": TEXT, "userid": TEXT}
ADD_POOL: Table = {"poolid": Rule(optional=False, format=v.pool_id), "comment": TEXT}
POOL_FILTER: Table = {"poolid": POOL, "type": enum("qemu lxc storage")}
CHANGE_POOL: Table = {
    "allow-move": BOOL,
    "comment": TEXT,
    "delete": BOOL,
    "storage": TEXT,
    "vms": TEXT,
}
CHANGE_ANY_POOL: Table = CHANGE_POOL | {"poolid": Rule(optional=False, format=v.pool_id)}
NETWORKS: Table = {"type": TEXT}
NONE: Table = {}


def check(given: Raw, table: Table) -> None:
    """Check all parameters of a call.

    Raises:
        ApiError: 400, with the recorded text for each that does not hold.
    """
    errors: dict[str, str] = {}
    for name, value in given.items():
        rule = rule_of(name, table)
        problem = UNKNOWN if rule is None else wrong_parameter(name, value, rule, given)
        if problem:
            errors[name] = problem
    errors |= dict.fromkeys(missing(given, table), MISSING)
    if errors:
        raise invalid_parameters(errors)


def wrong_parameter(name: str, value: str | list[str], rule: Rule, given: Raw) -> str | None:
    """Say what is wrong with one parameter of a call, or None."""
    if rule.requires and rule.requires not in given:
        return f"missing property - '{rule.requires}' requires this property"
    return f.wrong(value, rule, name)


def missing(given: Raw, table: Table) -> Iterable[str]:
    """Return the parameters that a call needs and did not get."""
    return (name for name, rule in table.items() if not rule.optional and name not in given)
