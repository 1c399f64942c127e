"""Where the `stackyard` script begins: Ctrl-C ends it cleanly while the rest still loads."""

import os
import signal

INTERRUPTED = 130


def main() -> None:
    """Load the command line and run it; see `stackyard.cli.main`."""
    is_heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_heard:
        signal.signal(signal.SIGINT, _leave)
    from stackyard.cli.main import main as run

    if is_heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


def _leave(_number: int, _frame: object) -> None:
    # Nothing was begun; an exception would end as a traceback of whatever is being imported.
    os._exit(INTERRUPTED)
