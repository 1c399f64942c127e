"""Merging kubeconfigs: 1,000 at once beside kubectl, and one key that many processes write."""

import base64
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from statistics import quantiles

from report import Section, Target

CLUSTERS = 1000
ROUNDS = 5
WRITERS = 50
INTEGRATION = Path(__file__).parents[1] / "integration"
BATCH = """
import sys
from pathlib import Path
from stackyard.cli.kubefiles import read_file
from stackyard.kubeconfig import every_context
from stackyard.stores.file import FileStore
from stackyard.stores.kubeconfigs import keep_clusters
files = [Path(name) for name in sys.argv[2:]]
incoming = [one for file in files for one in every_context(read_file(file), file.stem)]
keep_clusters(FileStore(Path(sys.argv[1])), incoming)
"""


def measure() -> Section:
    """Run both sides side by side, the best of several rounds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows, targets = _batch(folder)
        more, others = _writers(folder)
    return Section(
        "Kubeconfigs",
        f"{CLUSTERS} kubeconfigs of 3.4 kB each in files, merged into one file: each figure is that"
        f" of a whole process, the best of {ROUNDS}. {WRITERS} processes that merge {WRITERS}"
        " clusters into one key of a real OpenBao at once, the imports not counted.",
        ("work", "by", "seconds", "CPU seconds", "a second"),
        [*rows, *more],
        [*targets, *others],
    )


def _batch(folder: Path) -> tuple[list[list[str]], list[Target]]:
    files = _kubeconfigs(folder / "many")
    kubectl = _program("kubectl")
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    among = environ | {"KUBECONFIG": os.pathsep.join(files)}
    out = folder / "out"
    best: dict[str, tuple[float, float]] = {}
    for _ in range(ROUNDS):
        for who, command, given in (
            ("`kubectl config view --flatten`", [kubectl, "config", "view", "--flatten"], among),
            ("stackyard's action and library", [sys.executable, "-c", BATCH, str(out), *files],
             environ),
            ("`stackyard kubeconfig merge`", [_program("stackyard"), "kubeconfig", "merge",
             "--store", f"file:{out}", *files], environ),
        ):  # fmt: skip
            out.unlink(missing_ok=True)
            found = _timed(command, given)
            best[who] = min(found, best.get(who, found), key=lambda pair: pair[1])
    contexts = subprocess.run(
        [kubectl, "--kubeconfig", str(out), "config", "get-contexts", "-o", "name"],
        env=environ,
        capture_output=True,
        check=True,
    )
    if len(contexts.stdout.splitlines()) != CLUSTERS:
        raise SystemExit("kubectl does not find all clusters in what was merged")
    rows = [
        [f"merge {CLUSTERS}", who, f"{wall:.2f}", f"{cpu:.2f}", ""]
        for who, (wall, cpu) in best.items()
    ]
    peer, ours, _ = (cpu for _, cpu in best.values())
    claim = f"{CLUSTERS} merged, CPU time as a share of kubectl's"
    return rows, [Target(claim, ours / peer, 1.0)]


def _writers(folder: Path) -> tuple[list[list[str]], list[Target]]:
    sys.path.insert(0, str(INTEGRATION))
    from many_writers import run_writers
    from vault_lab import running_vault

    steps = [[("merge", f"k8s-{number}")] for number in range(WRITERS)]
    figures: dict[str, list[list[float]]] = {}
    with running_vault(folder / "lab") as vault:
        for who, apart in (("plain check-and-set, full jitter", folder), ("stackyard", None)):
            rounds = []
            for number in range(ROUNDS):
                path = f"bench/{len(figures)}/{number}/KUBECONFIG"
                done = run_writers(f"vault:kv/{path}", steps, vault.environ, apart)
                if vault.version(path) != WRITERS:
                    raise SystemExit("a merge was lost, or done twice")
                # The last to end began with all others.
                rounds.append(sorted(step["seconds"] for step in done))
            figures[who] = rounds
    rows = []
    for who, rounds in figures.items():
        best = min(seconds[-1] for seconds in rounds)
        rows.append(
            [f"{WRITERS} writers, one key", who, f"{best:.2f}", "", f"{WRITERS / best:.0f}"]
        )
    # Of all rounds, not of the best one.
    p99 = quantiles((one for seconds in figures["stackyard"] for one in seconds), n=100)[98]
    return rows, [Target(f"{WRITERS} writers, {ROUNDS} times: p99, seconds", p99, 5.0)]


def _kubeconfigs(folder: Path) -> list[str]:
    """Write kubeconfigs as installers do, with keys and certificates of the usual length."""
    folder.mkdir()
    blob = base64.b64encode(os.urandom(830)).decode()
    files = []
    for number in range(CLUSTERS):
        name = f"k8s-{number}"
        server = f"https://10.0.{number // 250}.{number % 250}:6443"
        file = folder / f"{name}.yaml"
        file.write_text(
            "apiVersion: v1\nclusters:\n- cluster:\n"
            f"    certificate-authority-data: {blob}\n    server: {server}\n  name: {name}\n"
            f"contexts:\n- context:\n    cluster: {name}\n    user: {name}\n  name: {name}\n"
            f"current-context: {name}\nkind: Config\npreferences: {{}}\nusers:\n- name: {name}\n"
            f"  user:\n    client-certificate-data: {blob}\n    client-key-data: {blob}\n",
            encoding="utf-8",
        )
        files.append(str(file))
    return files


def _timed(command: list[str], environ: dict[str, str]) -> tuple[float, float]:
    """Return the seconds that a process took, and those of its CPU time."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environ, check=True, capture_output=True)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _program(name: str) -> str:
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not installed")
    return found
