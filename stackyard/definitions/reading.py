"""A file in, its text or its one mapping out, or the mistake that keeps it from being one."""

import os
import stat
from pathlib import Path

from stackyard.definitions.document import DocumentError, Mapping, read_document
from stackyard.definitions.values import Report, shown

LARGEST_BYTES = 1024 * 1024
USUAL_BYTES = 16 * 1024  # asking for the largest at once would cost a MiB of memory a file


def _without_waiting(path: str, flags: int) -> int:
    """Open a file as it is: a pipe would wait for somebody to write."""
    return os.open(path, flags | os.O_NONBLOCK)


def read_text(path: Path, report: Report) -> str | None:
    """Return the text of a file; None where it has none, which is reported."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                report.add(1, "is not a regular file")
                return None
            data = file.read(USUAL_BYTES)
            if len(data) == USUAL_BYTES:
                data += file.read(LARGEST_BYTES - USUAL_BYTES + 1)
    except OSError as error:
        report.add(1, f"cannot be read: {error.strerror}")
        return None
    if len(data) > LARGEST_BYTES:
        report.add(1, "is larger than 1 MiB")
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        report.add(data.count(b"\n", 0, error.start) + 1, "is not UTF-8 text")
        return None


def read_mapping(text: str, report: Report, expected: str) -> Mapping | None:
    """Return the mapping that a text is; None where it is none, which is reported.

    `expected` ends the sentence about a text without any content.
    """
    try:
        document = read_document(text)
    except DocumentError as error:
        report.add(error.line, str(error))
        return None
    if document is None:
        report.add(1, f"is empty: {expected}")
        return None
    if not isinstance(document, Mapping):
        report.add(1, f"must be a mapping of keys, not {shown(document)}")
        return None
    return document
