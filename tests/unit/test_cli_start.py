"""Ctrl-C before the command line is loaded."""

import subprocess
import sys

INTERRUPTED_WHILE_LOADING = """
import builtins, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from stackyard.cli.start import main
real = builtins.__import__
def load(name, *rest):
    if name == "stackyard.cli.main":
        os.kill(os.getpid(), signal.SIGINT)
    return real(name, *rest)
builtins.__import__ = load
sys.argv = ["stackyard", "--help"]
main()
"""


def test_ctrl_c_while_the_command_line_loads_is_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_LOADING], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
