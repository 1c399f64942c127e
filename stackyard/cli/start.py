"""Where the `stackyard` script begins: signals end it cleanly while the rest still loads."""

import os
import signal
from pathlib import Path

# What is heard unless whoever started us said otherwise, as nohup does.
USUAL = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


def main() -> None:
    """Load the command line and run it; see `stackyard.cli.main`."""
    heard = {number: usual for number, usual in USUAL.items() if signal.getsignal(number) == usual}
    for number in heard:
        signal.signal(number, _leave)
    try:
        Path.home()
    except RuntimeError:  # a user that the system does not know, as jobs of CI may run as
        os.environ["HOME"] = "/"  # what container engines set then; Nornir does not load without
    from stackyard.cli.main import main as run

    for number, usual in heard.items():
        signal.signal(number, usual)
    run()


def _leave(number: int, _frame: object) -> None:
    # Nothing was begun; an exception would end as a traceback of whatever is being imported.
    os._exit(128 + number)
