"""Runs of base64 in a text, wrapped or not, decoded wherever they begin."""

import base64
import re
from collections.abc import Iterator

ALPHABET = "A-Za-z0-9+/_-"
SHORTEST = 32  # characters: less than the first line of any private key
RUN = re.compile(rf"[{ALPHABET}]{{{SHORTEST},}}(?:(?:[ \t]*\r?\n)+[ \t]*[{ALPHABET}]+)*")
SPACE = re.compile(r"\s+")
URL_SAFE = str.maketrans("-_", "+/")


def decoded_runs(text: str) -> Iterator[tuple[int, bytes]]:
    """Yield the position of each run and what it decodes to, for each way to divide it in fours.

    What stands right before base64 (`path/`, `data-`) can look like a part of it.
    """
    for match in RUN.finditer(text):
        run = SPACE.sub("", match[0]).translate(URL_SAFE)
        for start in range(4):
            rest = run[start:]
            # A single character of a last four says nothing, and the padding may be missing.
            yield match.start(), base64.b64decode(rest[: len(rest) - (len(rest) % 4 == 1)] + "==")
