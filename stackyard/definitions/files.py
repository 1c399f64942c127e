"""The files of a folder that are definitions; whatever looks like one and is none is a mistake."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stackyard.definitions.document import Problem
from stackyard.definitions.key_reader import Report
from stackyard.definitions.reading import read_data

DEFAULTS = "_defaults.yaml"
ENDINGS = (".yaml", ".yml")
LOCK = ".#"  # Emacs marks what it has open by a link of this name, which leads nowhere


@dataclass(frozen=True, slots=True)
class Files:
    """A folder's definition files and defaults, each read once, and what kept any from it."""

    folder: Path
    data: Mapping[Path, bytes | None]  # by name; None: it is there and could not be read
    problems: tuple[Problem, ...]


def read_files(folder: Path) -> Files:
    """Read the definition files of a folder and the defaults."""
    paths, problems = list_files(folder)
    data = {}
    for path in paths:
        report = Report(str(path))
        data[path] = read_data(path, report)
        problems += report.problems
    return Files(folder, data, tuple(problems))


def list_files(folder: Path) -> tuple[list[Path], list[Problem]]:
    """Return the definition files of a folder and the defaults, by name, and every mistake."""
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not entry.name.startswith(LOCK)]
    except OSError as error:
        return [], [Problem(str(folder), 1, f"cannot be read: {error.strerror}")]
    tree = folder.parent.resolve()
    target = folder.resolve()
    if folder.is_symlink() and not target.is_relative_to(tree):
        return [], [Problem(str(folder), 1, _out_of(tree, target))]
    paths, problems = [], []
    for entry in sorted(entries, key=lambda entry: entry.name):
        path = folder / entry.name
        mistake = _mistake(entry, path, tree)
        if not entry.name.isprintable():
            problems.append(Problem(str(folder), 1, f"{entry.name!r} is no file's name: rename it"))
        elif mistake:
            problems.append(Problem(str(path), 1, mistake))
        elif entry.name.endswith(ENDINGS):
            paths.append(path)
    return paths, problems


def _mistake(entry: os.DirEntry[str], path: Path, tree: Path) -> str | None:
    """Say what is wrong with one entry of the folder; what is no YAML is none of our business."""
    try:
        return _wrong(entry, path, tree)
    except OSError as error:  # it, or where it leads, may not be looked at
        return f"cannot be read: {error.strerror}"


def _wrong(entry: os.DirEntry[str], path: Path, tree: Path) -> str | None:
    if not entry.name.lower().endswith(ENDINGS):
        if entry.is_dir() and _has_definitions(path):
            return "is a folder with definitions, which stand in vms/ itself: move them there"
        return None
    if not entry.name.endswith(ENDINGS):
        return f"ends in {path.suffix}: write {path.suffix.lower()}"
    if entry.name.startswith("_") and entry.name != DEFAULTS:
        return f"a name that starts with _ is kept for {DEFAULTS}: rename the file"
    if entry.is_symlink():
        return _linked(path, tree)
    return None if entry.is_file() else "is not a regular file"


def _linked(path: Path, tree: Path) -> str | None:
    try:
        target = path.resolve()
    except RuntimeError:  # links that lead to each other
        return "cannot be read: a link that leads to itself"
    if not target.is_relative_to(tree):
        return _out_of(tree, target)
    return "is not a regular file" if target.exists() and not target.is_file() else None


def _out_of(tree: Path, target: Path) -> str:
    return f"is a link out of {tree}, to {target}: put a copy here"


def _has_definitions(folder: Path) -> bool:
    """Tell whether anything in a folder looks like one.

    Raises:
        OSError: some of it cannot be seen.
    """

    def refuse(error: OSError) -> None:
        raise error

    found = os.walk(folder, onerror=refuse)
    return any(name.endswith(ENDINGS) for _, folders, files in found for name in folders + files)
