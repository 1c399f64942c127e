"""The file of what all VMs of a site share, read and checked on its own."""

from pathlib import Path

from stackyard.definitions.document import Mapping, Problem
from stackyard.definitions.key_reader import Report, check_keys
from stackyard.definitions.model import Source
from stackyard.definitions.reading import decoded, read_mapping
from stackyard.definitions.vm_reader import (
    NAMES,
    NUMBERED,
    Defaults,
    read_values,
    source_lines,
    take_values,
)

NO_DEFAULTS = "remove the file if all VMs have nothing in common"
OF_ONE_VM = ("name", "vmid")
# What a VM must have or is measured by, and may have from the defaults.
INHERITABLE = frozenset({"target_node", "memory"})


def read_defaults(path: Path, data: bytes | None) -> tuple[Defaults, list[Problem]]:
    """Check the defaults on their own, so that their mistakes are named once.

    `data` is what their file holds, None where it could not be read.
    """
    report = Report(str(path))
    text = None if data is None else decoded(data, report)
    document = read_mapping(text, report, NO_DEFAULTS) if text is not None else None
    if document is None:
        return Defaults(1, lost=INHERITABLE), report.problems
    for name in [name for name, value in document.items() if value is None]:
        del document[name]
    for name in OF_ONE_VM:
        if name in document:
            report.add(document.line_of(name), f"{name} belongs to one VM, not to the defaults")
    report.problems += _mistakes(document, report.path)
    wrong = {
        name
        for name in document
        if report.problems and (name in OF_ONE_VM or _mistakes(_part(document, name), report.path))
    }
    defaults = Defaults(document.line, INHERITABLE & wrong, report.path)
    defaults.update({name: value for name, value in document.items() if name not in wrong})
    defaults.lines = document.lines
    defaults.source = Source(report.path, source_lines(document))
    defaults.checked = take_values(defaults, defaults, Report(report.path))
    return defaults, report.problems


def _mistakes(document: Mapping, path: str) -> list[Problem]:
    report = Report(path)
    check_keys(document, NAMES, report, numbered=NUMBERED)
    read_values(document, Defaults(1, lost={"name", *INHERITABLE}), report)
    return report.problems


def _part(document: Mapping, name: str) -> Mapping:
    part = Mapping(document.line)
    part[name] = document[name]
    part.lines = {name: document.line_of(name)}
    return part
