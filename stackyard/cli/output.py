"""The streams of the process: what cannot be written to one is told as every other error is."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from stackyard.errors import StackyardError


class OutputError(StackyardError):
    """Standard output cannot be written."""


class _Descriptor(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno == errno.EPIPE:  # a reader that has enough is no error
                raise
            raise OutputError(f"the output cannot be written: {error.strerror}") from error


@contextmanager
def told() -> Iterator[None]:
    """Let an `OutputError` say why the process's standard output cannot be written.

    Raises:
        OutputError: at the latest when the block ends.
    """
    stream = sys.__stdout__
    if stream is None or stream is not sys.stdout:  # closed, or taken by a test
        yield
        return
    descriptor = _Descriptor(stream.fileno(), "w", closefd=False)
    # Files and programs get UTF-8, as Ansible reads it, whatever the locale is.
    encoding = stream.encoding if stream.isatty() else "utf-8"
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(descriptor),
        encoding,
        stream.errors if encoding == "utf-8" else "backslashreplace",
        line_buffering=stream.line_buffering,
    )
    try:
        yield
        sys.stdout.flush()
    finally:
        _empty(sys.stdout, stream.fileno())


def drop_unwritten_errors() -> None:
    """Leave nothing in standard error that Python would write at its end, and exit with 120 for."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _empty(stream: TextIO, descriptor: int) -> None:
    """Leave nothing in a stream that Python would write at its end, and fail in its own words."""
    try:
        stream.flush()
    except OutputError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
