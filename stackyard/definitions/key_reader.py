"""A mapping's keys, as a table has them; every mistake is reported, none stops the reading."""

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from stackyard.definitions.document import Mapping, Problem
from stackyard.definitions.keys import OTHER_NAMES, REQUIRED, Key
from stackyard.definitions.values import CHECKS, BadValueError

CLEAR_SECRETS = ("ciuser_password", "password")


@dataclass
class Report:
    """The mistakes found in one file so far."""

    path: str
    problems: list[Problem] = field(default_factory=list)

    def add(self, line: int, sentence: str) -> None:
        """Note a mistake of this file."""
        self.problems.append(Problem(self.path, line, sentence))


def check_keys(
    mapping: Mapping, names: Collection[str], report: Report, where: str = "", numbered: str = ""
) -> None:
    """Report every key that is not in `names` (nor matches `numbered`), with the nearest one."""
    for name, line in mapping.lines.items():
        if name in names or (numbered and re.fullmatch(numbered, name)):
            continue
        if name in CLEAR_SECRETS:
            report.add(line, f"{name} is a secret in clear text: never put one into a definition")
            continue
        report.add(line, f"unknown key {name!r}{where}{_hint(name, names, mapping)}")


def _hint(name: str, names: Collection[str], given: Mapping) -> str:
    other = OTHER_NAMES.get(name)
    swapped = (n for n in names if n not in given and sorted(n) == sorted(name))
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    meant = other if other in names else next(swapped, next(iter(near), None))
    return f", did you mean {meant}?" if meant else ""


def take(mapping: Mapping, key: Key, report: Report, where: str = "") -> Any:
    """Return a key's checked value or its default; a mistake is reported and gives the default."""
    value = mapping.get(key.name)
    if value is None and key.default is not REQUIRED:
        return key.default
    if value is None:
        report.add(mapping.line_of(key.name), f"{key.name} is missing{where}")
        return None
    try:
        return CHECKS[key.type](value, key)
    except BadValueError as error:
        report.add(mapping.line_of(key.name), f"{key.name}{where} {error}")
        return None if key.default is REQUIRED else key.default


def take_all(
    mapping: Mapping, keys: Collection[Key], report: Report, where: str = ""
) -> dict[str, Any]:
    """Return the values of a whole table by attribute; a key that is not in it is a mistake."""
    check_keys(mapping, [key.name for key in keys], report, where)
    return {key.attribute: take(mapping, key, report, where) for key in keys}
