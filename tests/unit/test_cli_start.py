"""What there is before the command line is loaded: signals, and perhaps no home."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

INTERRUPTED_WHILE_LOADING = """
import builtins, os, signal, sys
number = int(sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from stackyard.cli.start import main
real = builtins.__import__
def load(name, *rest):
    if name == "stackyard.cli.main":
        os.kill(os.getpid(), number)
    return real(name, *rest)
builtins.__import__ = load
sys.argv = ["stackyard", "--help"]
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_command_line_loads_is_no_traceback(number: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_LOADING, str(number)],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, b"", b"")


NOBODY_THE_SYSTEM_KNOWS = """
import pwd, sys
def unknown(number):
    raise KeyError(number)
pwd.getpwuid = unknown
from stackyard.cli.start import main
sys.argv = ["stackyard", "run", "--commit", "HEAD", "--site", sys.argv[1]]
main()
"""


def test_a_user_without_home_and_passwd_entry_gets_sentences(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOBODY_THE_SYSTEM_KNOWS, str(tmp_path)],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: git in ")
    assert "Traceback" not in done.stderr
