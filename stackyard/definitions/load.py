"""A folder of definition files in, checked definitions or every mistake of every file out."""

import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from stackyard.definitions.availability import HA, check_ha, read_ha
from stackyard.definitions.device_keys import SERIAL_PORTS
from stackyard.definitions.device_reader import DEVICE_NAMES, read_devices, read_serials
from stackyard.definitions.devices import (
    MOST_NICS,
    device_lines,
    read_disks,
    read_ipconfigs,
    read_networks,
)
from stackyard.definitions.document import Mapping, Problem
from stackyard.definitions.files import DEFAULTS, list_files
from stackyard.definitions.keys import REQUIRED, VM_KEYS
from stackyard.definitions.model import Definition, Source
from stackyard.definitions.reading import read_mapping, read_text
from stackyard.definitions.values import Report, check_keys, take
from stackyard.errors import StackyardError

SHAPED = ("disks", "nested_disks", "network", "networks")
OUR_TAGS = "stackyard-"  # what begins so says how far a VM has come
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NUMBERED = r"ipconfig([12]?\d|3[01])"
NAMES = dict.fromkeys(
    (*(key.name for key in VM_KEYS), *SHAPED, "ipconfig0", *SERIAL_PORTS, *DEVICE_NAMES, HA.name)
)
KEYS = {key.name: key for key in VM_KEYS}
ATTRIBUTES = {key.name: key.attribute for key in VM_KEYS}
SHAPES: dict[str, tuple[Callable[[Mapping, Report], Any], frozenset[str]]] = {
    "disks": (read_disks, frozenset({"disks", "nested_disks"})),
    "networks": (read_networks, frozenset({"network", "networks"})),
    "ipconfigs": (read_ipconfigs, frozenset(f"ipconfig{number}" for number in range(MOST_NICS))),
    "serials": (read_serials, frozenset({"serial", *SERIAL_PORTS})),
    "devices": (read_devices, frozenset(DEVICE_NAMES)),
    "ha": (read_ha, frozenset({HA.name})),
}
REQUIRED_KEYS = tuple(key for key in VM_KEYS if key.default is REQUIRED)
NO_DEFINITION = "a definition is a mapping with at least name and target_node"
NO_DEFAULTS = "remove the file if all VMs have nothing in common"
OF_ONE_VM = ("name", "vmid")
# What a VM must have or is measured by, and may have from the defaults.
INHERITABLE = frozenset({"target_node", "memory"})
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


class DefinitionsError(StackyardError):
    """All mistakes of a site's files, one a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def load_definitions(site: Path) -> tuple[Definition, ...]:
    """Return the definitions in a site's vms/, by name.

    Raises:
        DefinitionsError: with every mistake of every file.
    """
    return load_vms(site / "vms")


def load_vms(folder: Path) -> tuple[Definition, ...]:
    """Return the definitions in a folder, by name.

    Raises:
        DefinitionsError: with every mistake of every file, or that there is no definition.
    """
    definitions, problems = read_vms(folder)
    if problems:
        raise DefinitionsError(problems)
    return definitions


def read_vms(folder: Path) -> tuple[tuple[Definition, ...], tuple[Problem, ...]]:
    """Return what could be read and every mistake, so that later checks can add theirs.

    A definition with mistakes is there too, but for what is wrong in it, if it has a name: what it
    has in common with others is a mistake of the same run.
    """
    paths, problems = list_files(folder)
    if not problems and not any(path.name != DEFAULTS for path in paths):
        problems.append(Problem(str(folder), 1, "no definition here: each VM is a file NAME.yaml"))
    defaults = Defaults(1)
    if folder.joinpath(DEFAULTS) in paths:
        paths.remove(folder / DEFAULTS)
        defaults, found = _defaults(folder / DEFAULTS)
        problems += found
    definitions = []
    for path in paths:
        report = Report(str(path))
        definition = _definition(path, defaults, report)
        problems += report.problems
        if definition is not None:
            definitions.append(definition)
    problems += _twice(definitions)
    return tuple(sorted(definitions, key=lambda vm: vm.name)), tuple(problems)


def parse_vm(text: str, path: str = "-") -> Definition:
    """Return the definition in a text.

    Raises:
        DefinitionsError: with every mistake of the text.
    """
    report = Report(path)
    definition = _parse(text, Defaults(1), report)
    if definition is None or report.problems:
        raise DefinitionsError(report.problems)
    return definition


def has_definitions(folder: Path) -> bool:
    """Tell whether a folder that can be read has any definition in it, right or wrong.

    Raises:
        DefinitionsError: the folder cannot be read.
    """
    paths, problems = list_files(folder)
    if problems and not folder.is_dir():
        raise DefinitionsError(problems)
    return any(path.name != DEFAULTS for path in paths)


def _defaults(path: Path) -> tuple[Defaults, list[Problem]]:
    """Read and check the defaults on their own, so that their mistakes are named once."""
    report = Report(str(path))
    text = read_text(path, report)
    document = read_mapping(text, report, NO_DEFAULTS) if text is not None else None
    if document is None:
        return Defaults(1, lost=INHERITABLE), report.problems
    for name in [name for name, value in document.items() if value is None]:
        del document[name]
    for name in OF_ONE_VM:
        if name in document:
            report.add(
                document.lines.get(name, 1), f"{name} belongs to one VM, not to the defaults"
            )
    report.problems += _mistakes(document, report.path)
    wrong = {
        name
        for name in document
        if report.problems and (name in OF_ONE_VM or _mistakes(_part(document, name), report.path))
    }
    defaults = Defaults(document.line, INHERITABLE & wrong, report.path)
    defaults.update({name: value for name, value in document.items() if name not in wrong})
    defaults.lines = document.lines
    defaults.checked = _taken(defaults, defaults, Report(report.path))
    return defaults, report.problems


def _mistakes(document: Mapping, path: str) -> list[Problem]:
    report = Report(path)
    check_keys(document, NAMES, report, numbered=NUMBERED)
    _values(document, Defaults(1, lost={"name", *INHERITABLE}), report)
    return report.problems


def _part(document: Mapping, name: str) -> Mapping:
    part = Mapping(document.line)
    part[name] = document[name]
    part.lines = {name: document.lines.get(name, document.line)}
    return part


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


def _definition(path: Path, defaults: Defaults, report: Report) -> Definition | None:
    text = read_text(path, report)
    return None if text is None else _parse(text, defaults, report)


def _parse(text: str, defaults: Defaults, report: Report) -> Definition | None:
    document = read_mapping(text, report, NO_DEFINITION)
    if document is None:
        return None
    check_keys(document, NAMES, report, numbered=NUMBERED)
    values = _values(document, defaults, report)
    if not values["name"]:
        return None
    lines = device_lines(document) | document.lines
    return Definition(source=Source(report.path, lines, _given(document, defaults)), **values)


def _given(own: Mapping, defaults: Mapping) -> frozenset[str]:
    given = (defaults | own).items()
    return frozenset(
        [ATTRIBUTES[name] for name, value in given if value is not None and name in ATTRIBUTES]
    )


def _values(own: Mapping, defaults: Defaults, report: Report) -> dict[str, Any]:
    values = _taken(own, defaults, report)
    for name in values["variables"]:
        if not VARIABLE.fullmatch(name):
            # Ansible would drop it, or refuse the whole inventory.
            line = own.lines.get("variables", own.line)
            report.add(line, f"{name!r} in variables is no variable's name: letters, digits and _")
    for tag in values["tags"]:
        if tag.startswith(OUR_TAGS):
            line = own.lines.get("tags", own.line)
            report.add(line, f"{tag} in tags is set and removed by stackyard itself: leave it out")
    if values.get("template") and values.get("vm_state") == "running":
        values["vm_state"] = "stopped"  # what the defaults say is for what can run
        if "vm_state" in own:
            line = own.lines.get("vm_state", own.line)
            report.add(line, "vm_state running is not for a template, which never runs: drop one")
    check_ha(values, own, report)
    _check_balloon(values, own, defaults, report)
    return values


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
        line = defaults.lines.get("balloon", defaults.line)
        report.problems.append(Problem(defaults.path, line, sentence))
    else:
        report.add(own.lines.get("balloon", own.line), sentence)


def _taken(own: Mapping, defaults: Defaults, report: Report) -> dict[str, Any]:
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


def _twice(definitions: list[Definition]) -> list[Problem]:
    seen: dict[str, Definition] = {}
    problems = []
    for vm in definitions:
        first = seen.setdefault(vm.name.lower(), vm)
        if first is not vm:
            line = vm.source.lines.get("name", 1)
            problems.append(
                Problem(vm.source.path, line, f"{vm.name} is defined in {first.source.at()} too")
            )
    return problems
