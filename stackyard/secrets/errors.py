"""What is wrong with a site's secrets."""

from collections.abc import Iterable

from stackyard.definitions.document import Problem
from stackyard.errors import StackyardError


class SecretsError(StackyardError):
    """Secrets that cannot be used; the sentence never quotes a value."""


class SecretFilesError(SecretsError):
    """All mistakes of a site's secret files, one a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))
