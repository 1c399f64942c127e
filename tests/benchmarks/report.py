"""What a benchmark reports, and how it is shown on a terminal and in docs/benchmarks.md."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Section:
    """One question: a table with both sides of it, and the targets with whether they were met."""

    title: str
    setting: str  # one sentence: which work, with which latencies
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    targets: Sequence["Target"] = ()


@dataclass(frozen=True)
class Target:
    """A figure that was promised: `measured` and `limit` in the same unit."""

    claim: str
    measured: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Tell whether the measured figure keeps the promise."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def __str__(self) -> str:
        """Say the claim, the figure and the verdict in one line."""
        sign = "≥" if self.at_least else "≤"
        verdict = "met" if self.met else "MISSED"
        return f"{self.claim}: {self.measured:.2f} (promised {sign} {self.limit:g}), {verdict}"


def as_markdown(section: Section) -> str:
    """Return the section as Markdown."""
    lines = [f"## {section.title}", "", section.setting, ""]
    lines += [_row(section.columns), _row(["---"] * len(section.columns))]
    lines += [_row(row) for row in section.rows]
    lines += ["", *(f"- {target}" for target in section.targets)]
    return "\n".join(lines).rstrip() + "\n"


def machine() -> str:
    """Return what the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    python = platform.python_version()
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, Python {python}, load {load:.1f} "
        "at its end"
    )


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
