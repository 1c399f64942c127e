"""The tags of a commit message: `feat: add a VM [ansible k8s-observability]`."""

import re

from stackyard.routing.errors import RoutingError

_TAG = re.compile(r"\[ansible\s+([^\]]+)\]")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_SHOWN = 60  # characters of a bad tag that an error repeats


def is_name(text: str) -> bool:
    """Tell whether a text can name a VM or a play: never a path, an option or a pattern."""
    return _NAME.fullmatch(text) is not None


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
                    "name of a VM or a play: lower-case letters, digits, - and _ make one"
                )
            names[name] = None
    return tuple(names)


def _shown(text: str) -> str:
    """Quote foreign text for a terminal: no control characters, no length."""
    short = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return ascii(short)
