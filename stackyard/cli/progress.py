"""Progress of long work on stderr: one live line where a terminal can, else a line a step."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status
from rich.text import Text

from stackyard.cli.terminal import is_live


class Steps:
    """Shows each step it is called with, and how long the work takes."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._live: Status | None = None
        self._began = 0.0

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        if is_live():
            self._live = self._console.status("").__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def __call__(self, step: str) -> None:
        """Show a step."""
        if self._live is not None:
            self._live.update(Text(step))
        else:
            seconds = time.monotonic() - self._began
            self._console.print(f"[{seconds:5.1f} s] {step}", markup=False)
