"""Limits of a disk's speed: which go together, as `parse_drive` of qemu-server reads them.

It takes one limit for both ways or one for each, and a burst or its length only beside what it goes
beyond. A limit of 0 is none.
"""

from collections.abc import Iterator, Mapping

_WAYS = ("", "_rd", "_wr")
_NEEDED = {
    **{f"mbps{way}_max": f"mbps{way}" for way in _WAYS},
    **{f"bps{way}_max_length": f"mbps{way}_max" for way in _WAYS},
    **{f"iops{way}_max_length": f"iops{way}_max" for way in _WAYS},
}
_RIVALS = tuple((unit, f"{unit}{way}") for unit in ("mbps", "iops") for way in _WAYS if way)
LIMITS = (*dict.fromkeys(name for pair in (*_RIVALS, *_NEEDED.items()) for name in pair),)


def contradictions(limits: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield each limit that does not fit the others, and why."""
    for whole, part in _RIVALS:
        if limits.get(whole) and limits.get(part):
            yield part, f"is beside {whole}, which is for both ways: keep one"
    for name, needed in _NEEDED.items():
        if limits.get(name) and not limits.get(needed):
            yield name, f"needs {needed}"


def replaced(wanted: Mapping[str, object], found: Mapping[str, object]) -> tuple[str, ...]:
    """Return the limits that are there, are not wanted and do not fit those that are."""
    left = {name for name in LIMITS if found.get(name) and wanted.get(name) is None}
    pairs = (*_RIVALS, *(pair[::-1] for pair in _RIVALS))
    gone = [name for name, other in pairs if name in left and wanted.get(other)]
    for name, needed in _NEEDED.items():  # a burst goes with its limit, its length with the burst
        if name in left and (needed in gone or wanted.get(needed) == 0):
            gone.append(name)
    return tuple(gone)
