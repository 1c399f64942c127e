"""A plan of 1,000 VMs that are all as wanted, on a cluster that takes 20 ms for each answer."""

from report import Section, Target
from served import Measured, as_lab_vm, definition, measured, serving, stackyard, write_site

COUNT = 1000
NODES = ("node01", "node02", "node03")
LATENCY_SECONDS = 0.02
IN_FLIGHT = 16
RUNS = 3


def measure() -> Section:
    """Plan it a few times; the quickest run is told."""
    numbered = [(number, NODES[number % len(NODES)]) for number in range(COUNT)]
    platform = {
        "vms": {f"bench-{number:04}": as_lab_vm(number, node) for number, node in numbered},
        "latency": {"request": LATENCY_SECONDS, "start": 0},
    }
    with serving(platform) as served:
        definitions = [definition(number, node) for number, node in numbered]
        site = write_site(served.folder / "site", definitions)
        plan = stackyard("plan", "--site", str(site))
        runs = [measured(served, plan, served.environ) for _ in range(RUNS)]
    best = min(runs, key=lambda run: run.seconds)
    floor = best.requests * LATENCY_SECONDS / IN_FLIGHT
    return Section(
        title=f"A plan with nothing to do, {COUNT:,} VMs",
        setting=(
            f"`stackyard plan` on {len(NODES)} nodes, {LATENCY_SECONDS * 1000:.0f} ms for each "
            f"answer, at most {IN_FLIGHT} in flight; the quickest of {RUNS} runs. Seconds are "
            "those of the whole command; at work is from the first request to the last."
        ),
        columns=("", "seconds", "of these at work", "CPU seconds", "requests", "writes"),
        rows=(
            _row("stackyard plan", best),
            ("floor: the answers alone", f"{floor:.1f}", "", "", str(best.requests), "0"),
        ),
        targets=(
            Target("seconds", best.seconds, 3),
            Target("requests", best.requests, 1 + len(NODES) + COUNT),
            Target("writes", best.writes, 0),
        ),
    )


def _row(name: str, run: Measured) -> tuple[str, ...]:
    seconds = (run.seconds, run.at_work, run.cpu_seconds)
    return (name, *(f"{each:.1f}" for each in seconds), str(run.requests), str(run.writes))
