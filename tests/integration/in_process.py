"""The real command in this process: starting another takes a second."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import pytest

from stackyard.cli.main import main


def run_here(
    folder: Path, *arguments: str, environ: Mapping[str, str], given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `stackyard …` in a folder; `given` is its standard input."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.dict(os.environ, environ),
        mock.patch.multiple(sys, argv=["stackyard", *arguments], stdin=io.StringIO(given)),
        pytest.raises(SystemExit) as end,
    ):
        main()
    code = end.value.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
