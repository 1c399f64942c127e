"""The root of every error a user can cause; each room derives its own from it."""


class StackyardError(Exception):
    """One sentence for a person: what is wrong, where, and what to do about it.

    The command line prints the sentence and exits with `exit_code`; a secret is never part of it.
    """

    exit_code: int = 1
