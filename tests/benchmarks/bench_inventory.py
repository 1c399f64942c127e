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
# The seconds are promised for a machine where `ansible-inventory` takes so long with ten thousand
# hosts from a script that prints them as JSON, the quickest of its own ways.
SCRIPT_SECONDS = 3.8
FIRST_SECONDS, SECOND_SECONDS = 8, 5
SCRIPTS = Path(sysconfig.get_path("scripts"))
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


def measure() -> Section:
    """Measure a first and a second run of ours, and the same hosts as YAML and from a script."""
    with tempfile.TemporaryDirectory() as name:
        site = make_site(Path(name), HOSTS)
        source, static = site / "inventory" / "vms.yml", Path(name, "static.yml")
        stackyard = (str(SCRIPTS / "stackyard"), "inventory")
        _run(*stackyard, "export", "--site", str(site), "--output", str(static))
        script, listed = Path(name, "script"), Path(name, "listed.json")
        with listed.open("wb") as file:
            subprocess.run([*stackyard, "list", "--site", str(site)], stdout=file, check=True)
        script.write_text(f"#!/bin/sh\nexec cat {listed}\n", encoding="utf-8")
        script.chmod(0o755)
        source.write_text(
            f"plugin: vms\ncache: true\ncache_plugin: ansible.builtin.jsonfile\n"
            f"cache_connection: {name}/cache\n",
            encoding="utf-8",
        )
        empty = Path(name, "empty.yml")
        empty.write_text("all: {}\n", encoding="utf-8")
        nothing, first, second = _quickest(empty, source, Path(name, "cache"))
        by_script, peer = _list(script), _list(static)
    help_seconds = min(_run(str(SCRIPTS / "stackyard"), "--help").seconds for _ in range(5))
    rows = [
        _row("Ansible with nothing in it", nothing, peer),
        _row("Ansible's YAML inventory", peer, peer),
        _row("Ansible's inventory script, JSON that is there", by_script, peer),
        _row("definitions, first run", first, peer),
        _row("definitions, unchanged", second, peer),
        ("`stackyard --help`", f"{help_seconds:.2f}", "", "", ""),
    ]
    return Section(
        title="Ansible's inventory",
        setting=f"`ansible-inventory --list` of {HOSTS:,} hosts: from as many definition files,"
        " which are checked, against `stackyard inventory export` of the same as a static file and"
        " a script that prints `stackyard inventory list` from a file; second run with the plugin's"
        " cache; the quickest of 3 runs, but for the peers. The promised seconds are those of a"
        f" machine where a script's ten thousand hosts take {SCRIPT_SECONDS:g} s.",
        columns=("source", "seconds", "CPU seconds", "peak MiB", ""),
        rows=rows,
        targets=(
            Target("seconds of a first run", first.seconds, FIRST_SECONDS),
            Target("seconds of a second run", second.seconds, SECOND_SECONDS),
            Target(
                "first run, of the script's seconds",
                first.seconds / by_script.seconds,
                round(FIRST_SECONDS / SCRIPT_SECONDS, 2),
            ),
            Target(
                "second run, of the script's seconds",
                second.seconds / by_script.seconds,
                round(SECOND_SECONDS / SCRIPT_SECONDS, 2),
            ),
            Target("times faster than YAML", peer.seconds / first.seconds, 3, at_least=True),
            Target("peak memory, of YAML's", first.peak / peer.peak, 1),
            Target("seconds of stackyard --help", help_seconds, 0.25),
        ),
    )


def _quickest(empty: Path, source: Path, cache: Path) -> Iterator[Cost]:
    """Yield the quickest of three runs each, taken in turns, for a machine's pace changes."""
    rounds = []
    for _ in range(3):
        shutil.rmtree(cache, ignore_errors=True)
        rounds.append((_list(empty), _list(source), _list(source)))
    for runs in zip(*rounds, strict=True):
        yield min(runs, key=lambda cost: cost.seconds)


def _row(name: str, cost: Cost, peer: Cost) -> tuple[str, ...]:
    ratio = peer.seconds / cost.seconds
    return (name, f"{cost.seconds:.1f}", f"{cost.cpu:.1f}", f"{cost.peak:.0f}", f"{ratio:.1f} x")


def _list(source: Path) -> Cost:
    return _run(str(SCRIPTS / "ansible-inventory"), "--list", "-i", str(source))


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
