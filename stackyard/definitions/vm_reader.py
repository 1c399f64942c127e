"""One VM's mapping, over what all VMs share, to the checked values of its definition."""

import re
from collections.abc import Callable, Collection
from typing import Any

from stackyard.definitions.availability import HA, check_ha, read_ha
from stackyard.definitions.device_keys import SERIAL_PORTS
from stackyard.definitions.device_reader import DEVICE_NAMES, read_devices, read_serials
from stackyard.definitions.disks import read_disks
from stackyard.definitions.document import Mapping, Problem
from stackyard.definitions.key_reader import Report, take
from stackyard.definitions.keys import REQUIRED, VM_KEYS
from stackyard.definitions.model import Source
from stackyard.definitions.networks import MOST_NICS, read_ipconfigs, read_networks

SHAPED = ("disks", "nested_disks", "network", "networks")
OUR_TAGS = "stackyard-"  # what begins so says how far a VM has come
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# No template could read one of such a name, and Ansible refuses it from 2.23 on.
JINJAS_OWN = {"true", "True", "false", "False", "none", "None", "not"}
# Whatever an inventory says of these, Ansible says something else.
MAGIC = frozenset({
    "ansible_check_mode", "ansible_config_file", "ansible_dependent_role_names",
    "ansible_diff_mode", "ansible_facts", "ansible_forks", "ansible_inventory_sources",
    "ansible_play_batch", "ansible_play_hosts", "ansible_play_hosts_all", "ansible_play_name",
    "ansible_play_role_names", "ansible_playbook_python", "ansible_role_names",
    "ansible_run_tags", "ansible_search_path", "ansible_skip_tags", "ansible_verbosity",
    "ansible_version", "group_names", "groups", "hostvars", "inventory_hostname",
    "inventory_hostname_short", "omit", "play_hosts", "playbook_dir", "role_names",
})  # fmt: skip
NUMBERED = r"ipconfig([12]?[0-9]|3[01])"
NAMES = dict.fromkeys(
    (*(key.name for key in VM_KEYS), *SHAPED, "ipconfig0", *SERIAL_PORTS, *DEVICE_NAMES, HA.name)
)
KEYS = {key.name: key for key in VM_KEYS}
ATTRIBUTES = {key.name: key.attribute for key in VM_KEYS}
CARDS = frozenset({"network", "networks"})
SHAPES: dict[str, tuple[Callable[[Mapping, Report], Any], frozenset[str]]] = {
    "disks": (read_disks, frozenset({"disks", "nested_disks"})),
    "networks": (read_networks, CARDS),
    "ipconfigs": (read_ipconfigs, CARDS | {f"ipconfig{number}" for number in range(MOST_NICS)}),
    "serials": (read_serials, frozenset({"serial", *SERIAL_PORTS})),
    "devices": (read_devices, frozenset(DEVICE_NAMES)),
    "ha": (read_ha, frozenset({HA.name})),
}
REQUIRED_KEYS = tuple(key for key in VM_KEYS if key.default is REQUIRED)
# What one form says replaces what the defaults say in the other.
RIVALS = (("disks", "nested_disks"), ("network", "networks"))
BALLOONING = frozenset({"memory", "balloon"})


class Defaults(Mapping):
    """What all VMs of a site share; `lost` are keys it may have had, but for its mistakes.

    `checked` are the values: to check them again for each of ten thousand files, or to ask
    each file for every key, takes seconds.
    """

    def __init__(self, line: int, lost: Collection[str] = frozenset(), path: str = "") -> None:
        super().__init__(line)
        self.path = path
        self.lost = lost
        self.checked: dict[str, Any] = {}
        self.source: Source | None = None


def read_values(own: Mapping, defaults: Defaults, report: Report) -> dict[str, Any]:
    """Return the values of a definition by attribute, and report what is wrong with any."""
    values = take_values(own, defaults, report)
    for name in values["variables"]:
        line = own.line_of("variables")
        if not VARIABLE.fullmatch(name):
            # Ansible would drop it, or refuse the whole inventory.
            report.add(line, f"{name!r} in variables is no variable's name: letters, digits and _")
        elif name in JINJAS_OWN:
            report.add(line, f"{name!r} in variables is a word of Jinja's own: choose another name")
        elif name in MAGIC:
            report.add(line, f"{name} in variables is always Ansible's own: choose another name")
    for tag in values["tags"]:
        if tag.startswith(OUR_TAGS):
            line = own.line_of("tags")
            report.add(line, f"{tag} in tags is set and removed by stackyard itself: leave it out")
    if values.get("template") and values.get("vm_state") == "running":
        values["vm_state"] = "stopped"  # what the defaults say is for what can run
        if "vm_state" in own:
            line = own.line_of("vm_state")
            report.add(line, "vm_state running is not for a template, which never runs: drop one")
    check_ha(values, own, report)
    _check_balloon(values, own, defaults, report)
    return values


def given_attributes(own: Mapping, defaults: Mapping) -> frozenset[str]:
    """Return the attributes that the file or the defaults give a value."""
    given = (defaults | own).items()
    return frozenset(
        [ATTRIBUTES[name] for name, value in given if value is not None and name in ATTRIBUTES]
    )


def _check_balloon(
    values: dict[str, Any], own: Mapping, defaults: Defaults, report: Report
) -> None:
    memory, balloon = values.get("memory_mib", KEYS["memory"].default), values.get("balloon_mib")
    if not balloon or balloon <= memory:
        return
    is_lost = "memory" in defaults.lost and "memory" not in own
    if is_lost or own.get("memory") not in (None, memory):  # what it should be is not known
        return
    sentence = f"balloon must be at most memory, {memory}, not {balloon}"
    if own.keys().isdisjoint(BALLOONING):  # of all that inherit both, and said once
        line = defaults.line_of("balloon")
        report.problems.append(Problem(defaults.path, line, sentence))
    else:
        report.add(own.line_of("balloon"), sentence)


def take_values(own: Mapping, defaults: Defaults, report: Report) -> dict[str, Any]:
    """Return what is given, each on its own right; what is given by nobody is absent."""
    given = [KEYS[name] for name in own if name in KEYS]
    known = {*own, *defaults, *defaults.lost}
    given += [key for key in REQUIRED_KEYS if key.name not in known]
    values = defaults.checked | {key.attribute: take(own, key, report) for key in given}
    values["target_node"] = values.get("target_node") or ""
    values["groups"] = values.get("groups") or ()
    values["tags"] = tuple(sorted({tag.lower() for tag in values.get("tags") or ()}))
    values["variables"] = values.get("variables") or {}
    return values | _shapes(own, defaults, report)


def _shapes(own: Mapping, defaults: Mapping, report: Report) -> dict[str, Any]:
    """Return what several keys say together, as far as the file gives any of them."""
    merged = _over(defaults, own)
    return {
        attribute: read(merged, report)
        for attribute, (read, names) in SHAPES.items()
        if not names.isdisjoint(own)
    }


def _over(defaults: Mapping, own: Mapping) -> Mapping:
    """Return the mapping with the defaults below it."""
    merged = Mapping(own.line)
    merged.update(defaults)
    for one, other in RIVALS:
        if own.get(one) is not None or own.get(other) is not None:
            merged.pop(one, None)
            merged.pop(other, None)
    merged.update(own)
    # What is inherited gets a line of this file, since a mistake must have one.
    merged.lines = dict.fromkeys(SHAPED, own.line) | own.lines
    return merged


def source_lines(mapping: Mapping) -> dict[str, int]:
    """Return the line of each key, and of each disk's slot and card (`net0`) that can be read."""
    lines: dict[str, int] = {}
    nested = mapping.get("nested_disks")
    for bus in nested.values() if isinstance(nested, Mapping) else ():
        lines |= bus.lines if isinstance(bus, Mapping) else {}
    for entry in _mappings(mapping.get("disks")):
        lines[str(entry.get("slot"))] = entry.line
    cards = _mappings(mapping.get("networks")) or _mappings([mapping.get("network")])
    return lines | {f"net{number}": card.line for number, card in enumerate(cards)} | mapping.lines


def _mappings(value: Any) -> list[Mapping]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
