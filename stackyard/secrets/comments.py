"""The comments of a YAML text: all that stands between its tokens.

Looking for `#` would miss some and invent others: libyaml takes a comment right behind a quote or a
bracket, and a quoted text may hold any `#`.
"""

import re
from collections.abc import Iterator

import yaml

from stackyard.definitions.nesting import Loader

# The first line of a block scalar: its marks, and then its own comment.
BLOCK = re.compile(r"[|>][-+\d]*(?P<rest>.*)")


def find_comments(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line, from 1, and the text of each comment without its `#`.

    Raises:
        yaml.YAMLError: it is not YAML.
    """
    end = 0
    line = 1
    for token in yaml.scan(text, Loader):
        yield from _between(text[end : token.start_mark.index], line)
        end, line = token.end_mark.index, token.end_mark.line + 1
        if isinstance(token, yaml.ScalarToken) and token.style in {"|", ">"}:
            start = token.start_mark
            head = BLOCK.match(text, start.index)
            yield from _between(head["rest"] if head else "", start.line + 1)
    yield from _between(text[end:], line)


def _between(gap: str, first: int) -> Iterator[tuple[int, str]]:
    if "#" in gap:
        for number, line in enumerate(gap.split("\n"), first):
            _, mark, comment = line.partition("#")
            if mark and comment.strip():
                yield number, comment.strip()
