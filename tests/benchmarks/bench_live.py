"""An inventory with what Proxmox knows of 1,000 running VMs, against community.proxmox's plugin."""

import json
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import peer_inventory
from report import Section, Target
from served import Measured, Served, as_lab_vm, definition, measured, serving, write_site

COUNT = 1000
NODES = ("node01", "node02", "node03")
LATENCY_SECONDS = 0.02
IN_FLIGHT = 16
RUNS = 3
ROOT = Path(__file__).parents[2]
PREFIX = "proxmox_"

Hosts = Mapping[str, Mapping[str, Any]]


def measure() -> Section:
    """List it a few times, and once with the peer; the quickest of our runs is told."""
    numbered = [(number, NODES[number % len(NODES)]) for number in range(COUNT)]
    platform = {
        "vms": {f"bench-{number:04}": as_lab_vm(number, node) for number, node in numbered},
        "latency": {"request": LATENCY_SECONDS, "start": 0},
    }
    with serving(platform) as served:
        site = write_site(served.folder / "site", [definition(*one) for one in numbered])
        source = site / "inventory" / "vms.yml"
        source.write_text("plugin: vms\nverify: proxmox\nstrict: true\n", encoding="utf-8")
        ours = {**served.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        runs = [_listed(served, source, ours) for _ in range(RUNS)]
        theirs, their_hosts = _listed(
            served, peer_inventory.source(served), peer_inventory.environ(served)
        )
    best, hosts = min(runs, key=lambda run: run[0].seconds)
    fields, differing = _compared(hosts, their_hosts)
    return Section(
        title=f"A live inventory with facts, {COUNT:,} VMs",
        setting=(
            f"`ansible-inventory --list` on {len(NODES)} nodes, {LATENCY_SECONDS * 1000:.0f} ms "
            f"for each answer, with the facts of {COUNT:,} running VMs that have a guest agent; "
            f"ours with at most {IN_FLIGHT} in flight and the quickest of {RUNS} runs, the peer's "
            f"one by one, for this release has no other way. Both give {', '.join(fields)}."
        ),
        columns=("", "seconds", "CPU seconds", "requests"),
        rows=(
            _row("stackyard, `verify: proxmox`", best),
            _row(f"{peer_inventory.NAME}, `want_facts: true`", theirs),
            (
                "floor: our answers alone",
                f"{best.requests * LATENCY_SECONDS / IN_FLIGHT:.1f}",
                "",
                str(best.requests),
            ),
        ),
        targets=(
            Target("times as fast", theirs.seconds / best.seconds, 4, at_least=True),
            Target("requests", best.requests, COUNT + len(NODES) + 2),
            Target("facts that differ", differing, 0),
        ),
    )


def _listed(served: Served, source: Path, environ: Mapping[str, str]) -> tuple[Measured, Hosts]:
    output = served.folder / "listed.json"
    program = str(Path(sysconfig.get_path("scripts"), "ansible-inventory"))
    command = [program, "--list", "-i", str(source), "--output", str(output)]
    run = measured(served, command, environ)
    found = json.loads(output.read_text(encoding="utf-8"), object_hook=_unwrapped)
    hosts: Hosts = found["_meta"]["hostvars"]
    return run, hosts


def _unwrapped(value: dict[str, Any]) -> Any:
    """The peer's texts are marked as not to be templated, which is no difference in the fact."""
    return value.get("__ansible_unsafe", value) if len(value) == 1 else value


def _compared(ours: Hosts, theirs: Hosts) -> tuple[list[str], int]:
    """Return the facts that both have of any host, and how many of them are not the same."""
    if len(ours) != COUNT or not ours.keys() <= theirs.keys():
        raise RuntimeError(f"{len(ours)} hosts are ours and {len(theirs)} the peer's")
    known = [{key for host in hosts.values() for key in host} for hosts in (ours, theirs)]
    fields = sorted(key for key in known[0] & known[1] if key.startswith(PREFIX))
    pairs = ((ours[name].get(key), theirs[name].get(key)) for name in ours for key in fields)
    return fields, sum(our != their for our, their in pairs)


def _row(name: str, run: Measured) -> tuple[str, ...]:
    return (name, f"{run.seconds:.1f}", f"{run.cpu_seconds:.1f}", f"{run.requests:,}")
