"""Commands run one after the other, each shown as it would be typed."""

import os
import subprocess
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from stackyard.errors import StackyardError

if TYPE_CHECKING:
    from rich.console import Console

QUIET_ANSIBLE = {"ANSIBLE_DISPLAY_OK_HOSTS": "no", "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "no"}


class StepError(StackyardError):
    """A step did not do what it should; the sentence names it."""


@dataclass
class Steps:
    """Runs the commands of a site, with `environ`, and says which of `total` steps it is at."""

    console: "Console"
    total: int
    site: Path
    environ: dict[str, str] = field(default_factory=lambda: {**os.environ, **QUIET_ANSIBLE})
    done: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> int:
        """The seconds passed so far."""
        return int(time.monotonic() - self.started)

    def say(self, title: str) -> None:
        """Announce the next step with the seconds passed so far."""
        self.done += 1
        self.console.print(
            f"\n[bold cyan]{self.done}/{self.total}[/] [bold]{title}[/] [dim]({self.seconds} s)[/]",
        )

    def tell(self, text: str) -> None:
        """Print a line below the command that it belongs to."""
        self.console.out(f"  {text}", highlight=False)

    def run(self, *argv: str, accept: Sequence[int] = (0,), quiet: bool = False) -> str:
        """Run a command and return its standard output, which is shown unless `quiet`.

        Raises:
            StepError: the command ended with a code that is not in `accept`.
        """
        self.console.print(f"[dim]$ {' '.join(argv)}[/]", soft_wrap=True)
        lines = []
        with subprocess.Popen(
            [str(Path(sysconfig.get_path("scripts"), argv[0])), *argv[1:]],
            cwd=self.site,
            env=self.environ,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            for line in process.stdout or ():
                lines.append(line)
                if not quiet:
                    self.tell(line.rstrip())
        if process.returncode not in accept:
            if quiet:
                self.console.out("".join(lines), highlight=False)
            raise StepError(f"{' '.join(argv)} ended with exit code {process.returncode}")
        return "".join(lines)
