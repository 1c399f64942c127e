"""`.sops.yaml`: which files SOPS is to encrypt. https://getsops.io/docs/#using-sops-yaml-conf."""

import re
import warnings

from stackyard.definitions.document import DocumentError, Mapping, read_document
from stackyard.secrets.errors import SecretsError

NAME = ".sops.yaml"
Rules = tuple[re.Pattern[str], ...]
# Of letters, say, to Go, in which SOPS is written: to Python it is other letters.
_CLASS = re.compile(r"\[:\^?[a-z]+:\]")


def parse_rules(text: str, path: str) -> Rules:
    """Return the patterns of the paths, relative to the rules' folder, that are to be encrypted.

    Raises:
        SecretsError: the file has no rules, or one that cannot be understood.
    """
    try:
        document = read_document(text)
    except DocumentError as error:
        raise SecretsError(f"{path}:{error.line}: {error}") from None
    rules = document.get("creation_rules") if isinstance(document, Mapping) else None
    if not isinstance(rules, list) or not all(isinstance(rule, Mapping) for rule in rules):
        raise SecretsError(f"{path}:1: there must be a list creation_rules")
    return tuple(_pattern(rule, path) for rule in rules)


def _pattern(rule: Mapping, path: str) -> re.Pattern[str]:
    # A rule without a pattern is for every file.
    pattern = rule.get("path_regex") or ""
    line = rule.line_of("path_regex")
    try:
        if found := _CLASS.search(pattern):
            sentence = f"path_regex has {found[0]} in a set: spell it out, as A-Za-z"
            raise SecretsError(f"{path}:{line}: {sentence}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of what is one set today
            return re.compile(pattern)
    except (re.error, TypeError):
        raise SecretsError(f"{path}:{line}: path_regex is no regular expression") from None


def is_covered(rules: Rules, path: str) -> bool:
    """Tell whether a file, by its path relative to the rules' folder, is to be encrypted."""
    return any(rule.search(path) for rule in rules)
