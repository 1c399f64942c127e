"""Twenty VMs from a template, and a second run with nothing to do, beside community.proxmox."""

import peer
from report import Section, Target
from served import Measured, definition, measured, serving, stackyard, write_site

COUNT = 20
NODE = "node03"
AT_ONCE = 4
CLONE, CONFIG, RESIZE, START = 2.0, 0.2, 0.2, 1.0  # seconds
LATENCY = {"request": 0, "clone": CLONE, "config": CONFIG, "resize": RESIZE, "start": START}
FLOOR_UNLIMITED = CLONE + CONFIG + RESIZE + START
FLOOR = FLOOR_UNLIMITED + CLONE * (COUNT / AT_ONCE - 1)


def measure() -> Section:
    """Make the VMs each way on a new cluster, then let the same be done again."""
    four, again = _ours(AT_ONCE)
    unlimited = min((_ours(COUNT)[0] for _ in range(3)), key=lambda run: run.seconds)
    moved, _ = _ours(AT_ONCE, cloudinit="ide1")
    loop, loop_again = _theirs("loop")
    tasks, tasks_again = _theirs("async")
    return Section(
        title=f"Making {COUNT} VMs, and a second run",
        setting=(
            f"{COUNT} full clones of one template on one node, each configured, enlarged and "
            f"started. A clone takes {CLONE:g} s, a configuration {CONFIG:g} s, a resize "
            f"{RESIZE:g} s, a start {START:g} s. Seconds are those of whole commands; at work is "
            "from the first request to the last. With all clones at a time, where a tenth of a "
            f"second counts, it is the quickest of 3 runs. {peer.NAME} is given the same work: a "
            "task for each module that it takes (clone, configuration, interface, disk, start) "
            "with a loop over the VMs; as async tasks all VMs are begun at once, without a limit "
            "for clones, and then waited for with `async_status`."
        ),
        columns=(
            "",
            "seconds",
            "of these at work",
            "CPU seconds",
            "requests",
            "requests a VM",
            "writes",
        ),
        rows=(
            _row(f"stackyard apply, {AT_ONCE} clones at a time", four),
            ("floor of that", f"{FLOOR:.1f}", "", "", "", "", ""),
            _row("stackyard apply, all clones at a time", unlimited),
            ("floor of that", f"{FLOOR_UNLIMITED:.1f}", "", "", "", "", ""),
            _row(f"… {AT_ONCE} at a time, the cloud-init drive moved as well", moved),
            _row("proxmox_kvm in a loop", loop),
            _row("proxmox_kvm as async tasks", tasks),
            _row("second run: stackyard apply", again),
            _row("second run: proxmox_kvm in a loop", loop_again),
            _row("second run: proxmox_kvm as async tasks", tasks_again),
        ),
        targets=(
            Target(f"{AT_ONCE} at a time, times the floor", four.seconds / FLOOR, 1.25),
            Target("all at a time, times the floor", unlimited.seconds / FLOOR_UNLIMITED, 1.3),
            Target("requests a VM", four.requests / COUNT, 10),
            Target("times as fast as the loop", loop.seconds / four.seconds, 10, at_least=True),
            Target("times as fast as async", tasks.seconds / four.seconds, 4, at_least=True),
            Target(
                "second run, times as fast as the loop",
                loop_again.seconds / again.seconds,
                50,
                at_least=True,
            ),
            Target(
                "second run, times as fast as async",
                tasks_again.seconds / again.seconds,
                50,
                at_least=True,
            ),
            Target("writes of the second run", again.writes, 0),
        ),
    )


def _ours(at_once: int, cloudinit: str = "ide2") -> tuple[Measured, Measured]:
    with serving({"vms": {}, "latency": LATENCY}) as served:
        definitions = [definition(number, NODE, cloudinit) for number in range(COUNT)]
        site = write_site(served.folder / "site", definitions)
        apply = stackyard("apply", "--yes", "--site", str(site))
        environ = {**served.environ, "PROXMOX_CLONES": str(at_once)}
        return measured(served, apply, environ), measured(served, apply, environ)


def _theirs(way: peer.Way) -> tuple[Measured, Measured]:
    with serving({"vms": {}, "latency": LATENCY}) as served:
        vms = [definition(number, NODE) for number in range(COUNT)]
        play = peer.command(served, vms, way)
        environ = peer.environ(served)
        return measured(served, play, environ), measured(served, play, environ)


def _row(name: str, run: Measured) -> tuple[str, ...]:
    return (
        name,
        f"{run.seconds:.1f}",
        f"{run.at_work:.1f}",
        f"{run.cpu_seconds:.1f}",
        str(run.requests),
        f"{run.requests / COUNT:.1f}",
        str(run.writes),
    )
