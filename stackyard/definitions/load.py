"""The definition files of a folder in, checked definitions or every mistake of every file out."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from stackyard.definitions.defaults import read_defaults
from stackyard.definitions.document import Problem
from stackyard.definitions.files import DEFAULTS, Files, read_files
from stackyard.definitions.key_reader import Report, check_keys
from stackyard.definitions.model import Definition, Source
from stackyard.definitions.processes import in_parts
from stackyard.definitions.reading import decoded, read_mapping
from stackyard.definitions.vm_reader import (
    NAMES,
    NUMBERED,
    Defaults,
    given_attributes,
    read_values,
    source_lines,
)
from stackyard.errors import StackyardError

LEAST_FILES = 1000  # for a process of its own; with fewer it gains nothing
NO_DEFINITION = "a definition is a mapping with at least name and target_node"


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
    return load_vms(read_files(site / "vms"))


def load_vms(files: Files, *, allow_empty: bool = False) -> tuple[Definition, ...]:
    """Return the definitions of a folder, by name.

    Raises:
        DefinitionsError: with every mistake of every file, or that there is no definition and
            there must be one.
    """
    definitions, problems = read_vms(files, allow_empty=allow_empty)
    if problems:
        raise DefinitionsError(problems)
    return definitions


def read_vms(
    files: Files, *, allow_empty: bool = False
) -> tuple[tuple[Definition, ...], tuple[Problem, ...]]:
    """Return what could be read and every mistake, so that later checks can add theirs.

    A definition with mistakes is there too, but for what is wrong in it, if it has a name: what it
    has in common with others is a mistake of the same run. A folder without any is a mistake too,
    unless that is allowed.
    """
    folder, data, problems = files.folder, dict(files.data), list(files.problems)
    is_empty = not problems and data.keys() <= {folder / DEFAULTS}
    if is_empty and not allow_empty:
        problems.append(Problem(str(folder), 1, "no definition here: each VM is a file NAME.yaml"))
    defaults = Defaults(1)
    if folder / DEFAULTS in data:
        defaults, found = read_defaults(folder / DEFAULTS, data.pop(folder / DEFAULTS))
        problems += found
    definitions = []
    for some, mistakes in in_parts(partial(_some, defaults), tuple(data.items()), LEAST_FILES):
        definitions += some
        problems += mistakes
    problems += _twice(definitions)
    return tuple(sorted(definitions, key=lambda vm: vm.name)), tuple(problems)


def _some(
    defaults: Defaults, files: Sequence[tuple[Path, bytes | None]]
) -> tuple[list[Definition], list[Problem]]:
    """Return what `read_vms` does of some files."""
    definitions, problems = [], []
    for path, data in files:
        report = Report(str(path))
        definition = _definition(data, defaults, report)
        problems += report.problems
        if definition is not None:
            definitions.append(definition)
    return definitions, problems


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


def _definition(data: bytes | None, defaults: Defaults, report: Report) -> Definition | None:
    text = None if data is None else decoded(data, report)
    return None if text is None else _parse(text, defaults, report)


def _parse(text: str, defaults: Defaults, report: Report) -> Definition | None:
    document = read_mapping(text, report, NO_DEFINITION)
    if document is None:
        return None
    check_keys(document, NAMES, report, numbered=NUMBERED)
    values = read_values(document, defaults, report)
    if not values["name"]:
        return None
    given = given_attributes(document, defaults)
    source = Source(report.path, source_lines(document), given, defaults.source)
    return Definition(source=source, **values)


def _twice(definitions: list[Definition]) -> list[Problem]:
    seen: dict[str, Definition] = {}
    problems = []
    for vm in definitions:
        first = seen.setdefault(vm.name.lower(), vm)
        if first is not vm:
            said = f"{vm.name} is defined in {first.source.at()} too"
            problems.append(vm.source.problem("name", said))
    return problems
