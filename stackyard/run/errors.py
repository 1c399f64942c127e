"""What goes wrong on the way from a commit to a configured host: RunError and its kinds."""

from stackyard.errors import StackyardError

# Characters of a message in a sentence: its beginning says what failed, its end why.
_BEGINNING, _END = 100, 500


class RunError(StackyardError):
    """A step of a run failed; the sentence tells what was reached and how to go on."""

    def __init__(self, sentence: str, exit_code: int = StackyardError.exit_code) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class GitError(RunError):
    """Git has no such revision, or the site is in no repository."""


class ReadyError(RunError):
    """Waiting longer will not make a host ready: a key that differs, cloud-init that failed."""


class PlayError(RunError):
    """A playbook could not be run at all."""


class NotYetError(StackyardError):
    """Not ready at this moment; its text is the reason so far."""


def short(text: str) -> str:
    """Return foreign text as a sentence may quote it: one line, and not too long."""
    # Bytes of a host that are no UTF-8 come as halves of characters, which no file takes.
    line = " ".join(text.split()).encode(errors="replace").decode()
    return line if len(line) <= _BEGINNING + _END else f"{line[:_BEGINNING]} … {line[-_END:]}"
