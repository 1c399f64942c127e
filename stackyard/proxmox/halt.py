"""The word that nothing more is to begin, and why: what runs goes on to its end."""

from stackyard.proxmox.errors import InterruptedRunError


class Halt:
    """Called from any thread, or by a signal; the first reason stays."""

    def __init__(self) -> None:
        self._reason = ""

    @property
    def reason(self) -> str:
        """Why, or nothing while all may go on."""
        return self._reason

    def call(self, reason: str) -> None:
        """Let nothing more begin."""
        self._reason = self._reason or reason

    def check(self) -> None:
        """Go on, unless halted.

        Raises:
            InterruptedRunError: nothing is to begin any more.
        """
        if self._reason:
            raise InterruptedRunError(f"{self._reason}; run it again to finish")
