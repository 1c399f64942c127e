"""How deep a YAML text may go: the check of every reader of the package, before it reads.

libyaml composes collections by recursion in C, where no limit of Python's holds: a text of 200 kB
of `[` would end the process.
"""

from typing import Any

import yaml

from stackyard.errors import StackyardError

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DEEPEST = 100  # collections in each other
OPENERS = "[{-?:"  # no collection begins without one of them


class NestingError(StackyardError):
    """A text with collections in each other, deeper than any document of ours."""

    def __init__(self, line: int) -> None:
        super().__init__(f"is nested more than {DEEPEST} levels deep")
        self.line = line


def check_nesting(text: str) -> None:
    """Refuse a text that is nested too deep to be composed.

    Raises:
        NestingError: with the line.
        yaml.YAMLError: the text is no YAML.
    """
    if sum(map(text.count, OPENERS)) <= DEEPEST:
        return
    depth = 0
    loader: Any = Loader(text)
    try:
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > DEEPEST:
                raise NestingError(event.start_mark.line + 1)
    finally:
        loader.dispose()
