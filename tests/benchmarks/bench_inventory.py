"""`ansible-inventory --list` of ten thousand hosts, beside Ansible's own sources of them."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inventory_site import ROOT, make_site
from report import Section, Target

HOSTS = 10_000
FIRST_SECONDS, SECOND_SECONDS = 8, 5
ROUNDS = 5
RELEASES = "2.18", "2.19"
# Debian's own Python, which README.md asks for, and which its users have. One that was compiled
# without optimisations, as pyenv does unless told otherwise, takes all of Ansible a quarter longer.
DEBIAN = "/usr/bin/python3"
SCRIPTS = Path(sysconfig.get_path("scripts"))
INTEGRATION = Path(__file__).parents[1] / "integration"
# One process of its own for each measurement, so that its peak memory is its own too.
MEASURE = """
import resource, subprocess, sys, time
began = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
"""


@dataclass(frozen=True)
class Cost:
    """What one run took: seconds, seconds of CPU, MiB at its peak."""

    seconds: float
    cpu: float
    peak: float


@dataclass(frozen=True)
class Costs:
    """What one release of ansible-core took for the same hosts."""

    release: str
    nothing: Cost
    first: Cost
    second: Cost
    script: Cost
    static: Cost

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table's rows; the last column says how much quicker than from YAML."""
        found = {
            "nothing": self.nothing,
            "its YAML inventory": self.static,
            "its inventory script, JSON that is there": self.script,
            "definitions, first run": self.first,
            "definitions, unchanged": self.second,
        }
        return [
            (
                f"{self.release}: {source}",
                f"{cost.seconds:.1f}",
                f"{cost.cpu:.1f}",
                f"{cost.peak:.0f}",
                f"{self.static.seconds / cost.seconds:.1f} x",
            )
            for source, cost in found.items()
        ]

    def targets(self) -> Iterator[Target]:
        """Yield what is promised with each release."""
        of = f", {self.release}"
        yield Target(f"seconds of a first run{of}", self.first.seconds, FIRST_SECONDS)
        yield Target(f"seconds of a second run{of}", self.second.seconds, SECOND_SECONDS)
        faster = self.static.seconds / self.first.seconds
        yield Target(f"times faster than YAML{of}", faster, 3, at_least=True)
        yield Target(f"peak memory, of YAML's{of}", self.first.peak / self.static.peak, 1)


def measure() -> Section:
    """Measure a first and a second run of ours, and the same hosts as YAML and from a script."""
    python = _python()
    with tempfile.TemporaryDirectory() as name:
        _prepare(Path(name))
        costs = [_costs(release, python, Path(name)) for release in RELEASES]
    help_seconds = min(_run(str(SCRIPTS / "stackyard"), "--help").seconds for _ in range(5))
    return Section(
        title="Ansible's inventory",
        setting=f"`ansible-inventory --list` of {HOSTS:,} hosts, with two releases of ansible-core"
        f" and {python}: from as many definition files, which are checked, against `stackyard"
        " inventory export` of the same as a static file and a script that prints `stackyard"
        " inventory list` from a file; second run with the plugin's cache; the quickest of"
        f" {ROUNDS} runs, but one of YAML. The definitions are as long as the example site's, and"
        f" with its defaults. {RELEASES[1]} marks each text as trusted or not, which takes it two"
        " to three times as long for its own sources.",
        columns=("source", "seconds", "CPU seconds", "peak MiB", ""),
        rows=[
            *(row for cost in costs for row in cost.rows()),
            ("`stackyard --help`", f"{help_seconds:.2f}", *3 * [""]),
        ],
        targets=(
            *(target for cost in costs for target in cost.targets()),
            Target("seconds of stackyard --help", help_seconds, 0.25),
        ),
    )


def _python() -> str:
    """Return the Python that Ansible is measured with: Debian's, where it makes environments."""
    try:
        subprocess.run([DEBIAN, "-c", "import ensurepip, venv"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return sys.executable
    return DEBIAN


def _prepare(folder: Path) -> None:
    """Make the definitions, and the same hosts as a static file and as a script."""
    site = make_site(folder / "site", HOSTS)
    stackyard = (str(SCRIPTS / "stackyard"), "inventory")
    _run(*stackyard, "export", "--site", str(site), "--output", str(folder / "static.yml"))
    script, listed = folder / "script", folder / "listed.json"
    with listed.open("wb") as file:
        subprocess.run([*stackyard, "list", "--site", str(site)], stdout=file, check=True)
    script.write_text(f"#!/bin/sh\nexec cat {listed}\n", encoding="utf-8")
    script.chmod(0o755)
    (folder / "empty.yml").write_text("all: {}\n", encoding="utf-8")
    (site / "inventory" / "vms.yml").write_text(
        "plugin: vms\ncache: true\ncache_plugin: ansible.builtin.jsonfile\n"
        f"cache_connection: {folder}/cache\n",
        encoding="utf-8",
    )


def _costs(release: str, python: str, folder: Path) -> Costs:
    """Take the quickest of some runs of each but YAML, in turns, for a machine's pace changes."""
    sys.path.insert(0, str(INTEGRATION))
    from ansible_venv import ansible_venv

    venv = ansible_venv(f"ansible-core=={release}.*", python=python)
    command = str(venv / "ansible-inventory")

    def of(source: str) -> Cost:
        return _run(command, "--list", "-i", str(folder / source))

    rounds = []
    for _ in range(ROUNDS):
        shutil.rmtree(folder / "cache", ignore_errors=True)
        ours = 2 * ["site/inventory/vms.yml"]
        rounds.append([of(source) for source in ("empty.yml", *ours, "script")])
    nothing, first, second, script = (
        min(runs, key=lambda cost: cost.seconds) for runs in zip(*rounds, strict=True)
    )
    return Costs(release, nothing, first, second, script, of("static.yml"))


def _run(*command: str) -> Cost:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *command],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_INVENTORY_ENABLED": "vms,script,yaml"},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, cpu, peak = map(float, done.stdout.split())
    return Cost(seconds, cpu, peak)
