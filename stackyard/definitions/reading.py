"""A file in, its text or its one mapping out, or the mistake that keeps it from being one."""

import os
import stat
from pathlib import Path

from stackyard.definitions.document import DocumentError, Mapping, read_document
from stackyard.definitions.key_reader import Report
from stackyard.definitions.values import shown

LARGEST_BYTES = 1024 * 1024
USUAL_BYTES = 16 * 1024  # asking for the largest at once would cost a MiB of memory a file


def read_text(path: Path, report: Report) -> str | None:
    """Return the text of a file; None where it has none, which is reported."""
    data = read_data(path, report)
    return None if data is None else decoded(data, report)


def read_data(path: Path, report: Report) -> bytes | None:
    """Return what a file holds; None where it cannot be read, which is reported."""
    try:
        # Without waiting: a pipe would keep us until somebody writes.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                report.add(1, "is not a regular file")
                return None
            data = os.read(descriptor, USUAL_BYTES)
            while len(data) <= LARGEST_BYTES and (more := os.read(descriptor, USUAL_BYTES)):
                data += more
        finally:
            os.close(descriptor)
    except OSError as error:
        report.add(1, f"cannot be read: {error.strerror}")
        return None
    if len(data) > LARGEST_BYTES:
        report.add(1, "is larger than 1 MiB")
        return None
    return data


def decoded(data: bytes, report: Report) -> str | None:
    """Return the text that a file holds; None where it is none, which is reported."""
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
