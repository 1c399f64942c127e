"""What is told while hosts are waited for: who is left, and what each answered last."""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stackyard.run.target import Readiness, Target

LOG_SECONDS = 30.0  # between two lines of a log


class Waiting:
    """Tells in one line, every so often; never to be called by two threads at once."""

    def __init__(self, tell: Callable[[str], None], pause: float = LOG_SECONDS) -> None:
        self._tell = tell
        self._pause = pause  # seconds
        self._answers: dict[str, str] = {}
        self._told = 0.0

    def begin(self, names: Iterable[str]) -> None:
        """Tell who is waited for; nothing where that is nobody."""
        self._answers = dict.fromkeys(sorted(names), "")
        self._show()

    def not_yet(self, target: "Target", answer: str) -> None:
        """Note an answer."""
        if not self._answers:
            self._told = time.monotonic()  # a wait begins that was told by somebody else
        self._answers[target.name] = answer
        self._show_in_turn()

    def ended(self, result: "Readiness") -> None:
        """Wait no more for a host."""
        self._answers.pop(result.target.name, None)
        self._show_in_turn()

    def _show_in_turn(self) -> None:
        if time.monotonic() - self._told >= self._pause:
            self._show()

    def _show(self) -> None:
        self._told = time.monotonic()
        left = (f"{name} ({said})" if said else name for name, said in self._answers.items())
        if self._answers:
            self._tell(f"waiting for {', '.join(left)}")
