"""Texts that YAML takes for something else: `0123` is 83 to it, `yes` is true and 1.10 is 1.1."""

import yaml

from stackyard.definitions.document import RESOLVER, Problem
from stackyard.definitions.nesting import Loader
from stackyard.secrets.errors import SecretFilesError

EXACT = 2**53  # JSON's numbers are doubles


def check_scalars(before: str, after: str, file: str) -> None:
    """Refuse what somebody wrote without quotes and would get back as another text.

    What was there before stays as it is: SOPS has encrypted it as what it is now.

    Raises:
        SecretFilesError: with each line.
    """
    known = {text for _, text in _plain(before)}
    problems = [
        Problem(file, line, "is no text to YAML and would become another one: put it in quotes")
        for line, text in _plain(after)
        if text not in known and _becomes(text) != text
    ]
    if problems:
        raise SecretFilesError(problems)


def _plain(text: str) -> list[tuple[int, str]]:
    return [
        (token.start_mark.line + 1, token.value)
        for token in yaml.scan(text, Loader)
        if isinstance(token, yaml.ScalarToken) and token.plain and token.value
    ]


def _becomes(text: str) -> str:
    """Return what Vault would get; nothing where SOPS or JSON may round it."""
    tag = RESOLVER.resolve(yaml.ScalarNode, text, (True, False)).rpartition(":")[2]
    if tag not in {"bool", "int", "float"}:
        return text
    value = yaml.safe_load(text)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) and abs(value) < EXACT else ""
