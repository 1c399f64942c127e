"""The tags of a commit message: `feat: add a VM [ansible k8s-observability]`."""

import re

from stackyard.definitions.keys import LONGEST_NAME, NAME
from stackyard.routing.errors import RoutingError

_TAG = re.compile(r"\[ansible\s+([^\]]+)\]")
# What people write for a tag; `[ansible] fix a typo` is none of these, nor a link in Markdown.
_NEARLY = re.compile(
    r"\[\s*ansible(?:\s*[:=]\s*|\s+)[^\[\]\s:=][^\[\]]*\](?!\()", re.ASCII | re.IGNORECASE
)
# A VM's name, or a play's, which may have _ in it.
_NAME = re.compile(rf"{NAME}|[a-z0-9][a-z0-9_-]{{0,62}}", re.ASCII)
_SHOWN = 60  # characters of a bad tag that an error repeats


def is_name(text: str) -> bool:
    """Tell whether a text can name a VM or a play: never a path, an option or a pattern."""
    return len(text) <= LONGEST_NAME and _NAME.fullmatch(text) is not None


def tagged_names(message: str) -> tuple[str, ...]:
    """Return the names in all tags of a message, each once, in their order.

    Several names in one tag stand apart by blanks or commas.

    Raises:
        RoutingError: a tag names nothing, or something that cannot be a name.
    """
    names: dict[str, None] = {}
    # No tag ends behind the last bracket; else each one that is open would be sought to the end.
    for tag in _TAG.finditer(message, 0, message.rfind("]") + 1):
        found = [name for name in re.split(r"[\s,]+", tag[1]) if name]
        if not found:
            raise RoutingError(
                "the commit message has an empty tag [ansible ]: name a VM or a play in it"
            )
        for name in found:
            if not is_name(name):
                raise RoutingError(
                    f"the commit message's tag {_shown(tag[0])} holds {_shown(name)}, which is no "
                    "name of a VM or a play: letters, digits, -, _ and dots make one"
                )
            names[name] = None
    return tuple(names)


def near_misses(message: str) -> tuple[str, ...]:
    """Return what looks like a tag of a message and is none, as a terminal may show it."""
    found = (match[0] for match in _NEARLY.finditer(message) if not _TAG.fullmatch(match[0]))
    return tuple(dict.fromkeys(_shown(text) for text in found))


def _shown(text: str) -> str:
    """Quote foreign text for a terminal: no control characters, no length."""
    short = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return ascii(short)
