"""What Nornir has on each host, printed by nornir-utils on stderr once a wave is over."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout

from nornir.core.inventory import Host
from nornir.core.task import AggregatedResult, MultiResult, Task
from rich.text import Text

from stackyard.plan.text import counted

_RESET = "\x1b[0m"


class Details:
    """A processor for `-v`. Colours are for terminals."""

    def task_started(self, task: Task) -> None:
        """Nothing yet."""

    def task_completed(self, task: Task, result: AggregatedResult) -> None:
        """Print the results of all hosts."""
        text = io.StringIO()
        with redirect_stdout(text), redirect_stderr(text):
            # Imported here, for it puts colorama in place of the streams that it finds.
            from nornir_utils.plugins.functions import print_result

            print_result(result)
        shown = f"{text.getvalue()}{_RESET}"
        plain = "" if sys.stderr.isatty() else Text.from_ansi(shown).plain
        sys.stderr.write(f"{task.name} of {counted(len(result))}:\n{plain or shown}\n")

    def task_instance_started(self, task: Task, host: Host) -> None:
        """Nothing yet."""

    def task_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        """Nothing: the whole wave is printed at once."""

    def subtask_instance_started(self, task: Task, host: Host) -> None:
        """Nothing yet."""

    def subtask_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        """Nothing: the whole wave is printed at once."""
