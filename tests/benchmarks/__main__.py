"""`make bench`: run the benchmarks, print their tables, and keep each in docs/benchmarks.md.

Each module `bench_NAME` beside this one has a function `measure() -> Section`. Names given as
arguments run those alone; the other sections of the file stay as they are.
"""

import datetime as dt
import importlib
import sys
from pathlib import Path

from report import Section, as_markdown, machine

HERE = Path(__file__).parent
RESULT = HERE.parents[1] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Written by `make bench`; both sides of each comparison ran side by side on one machine. The figures
of a noisy machine move; the ratios and the numbers of requests move little.
"""


def main() -> int:
    """Run what was asked for; exit with 1 when a promise was missed."""
    known = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    names = sys.argv[1:] or known
    missed = 0
    for name in names:
        section: Section = importlib.import_module(f"bench_{name}").measure()
        text = as_markdown(section)
        sys.stdout.write(text + "\n")
        _keep(name, f"{text}\n{machine()}, {dt.datetime.now(dt.UTC):%Y-%m-%d}.\n")
        missed += sum(not target.met for target in section.targets)
    return 1 if missed else 0


def _keep(name: str, text: str) -> None:
    """Replace the section of this name in the document, or add it at the end."""
    before = RESULT.read_text(encoding="utf-8") if RESULT.exists() else HEAD
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->\n"
    head, found, rest = before.partition(begin)
    tail = rest.partition(end)[2] if found else ""
    RESULT.write_text(f"{head if found else before + chr(10)}{begin}{text}{end}{tail}", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
