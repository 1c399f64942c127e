"""Which texts Ansible would take for templates. What a definition says is never one."""

from collections.abc import Callable, Iterator
from typing import Any

MARKS = ("{{", "{%", "{#")
OVERRIDE = "#jinja2:"  # a text that begins so names marks of its own


def is_template(text: str) -> bool:
    """Tell whether Ansible would evaluate a text."""
    return text.startswith(OVERRIDE) or any(mark in text for mark in MARKS)


def texts_of(value: Any) -> Iterator[str]:
    """Yield every text in a value, but for the keys of mappings, which Ansible never evaluates."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_of(item)


def with_texts(value: Any, mark: Callable[[str], Any]) -> Any:
    """Return a value with each text in it replaced by what `mark` makes of it."""
    if isinstance(value, str):
        return mark(value)
    if isinstance(value, dict):
        # A call for each text would take longer than all the rest.
        return {
            key: mark(item) if isinstance(item, str) else with_texts(item, mark)
            for key, item in value.items()
        }
    return [with_texts(item, mark) for item in value] if isinstance(value, list) else value


def marked(value: Any, mark: Callable[[str], Any]) -> Any:
    """Return a value with `mark` made of each text that Ansible would evaluate."""
    return with_texts(value, lambda text: mark(text) if is_template(text) else text)


def unsafe(text: str) -> dict[str, str]:
    """Return a text as Ansible's JSON has one that is never evaluated."""
    return {"__ansible_unsafe": text}
