"""Pauses between two looks at what takes its time."""

from collections.abc import Iterator


def growing(first: float, longest: float) -> Iterator[float]:
    """Yield seconds without end: each half as long again as the one before, up to the longest."""
    pause = first
    while True:
        yield pause
        pause = min(pause * 1.5, longest)
