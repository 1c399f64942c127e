"""Many processes that write one document at once: what each did, one JSON line for each step.

Run as a program: STORE, and as JSON a list of each process's steps, ["merge" | "remove", NAME].
With a folder as third argument the processes take no turns, as if each ran on its own machine.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stackyard.errors import StackyardError
from stackyard.kubeconfig import dump
from stackyard.stores import open_store
from stackyard.stores.kubeconfigs import Cluster, keep_cluster, remove_cluster

Step = tuple[str, str]


def cluster(name: str) -> dict[str, Any]:
    """Return the kubeconfig of a cluster, as its installer leaves it."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "default", "cluster": {"server": f"https://{name}.example:6443"}}],
        "users": [{"name": "default", "user": {"token": f"token of {name}"}}],
        "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
        "current-context": "default",
    }


def run_writers(
    store: str,
    steps: Sequence[Sequence[Step]],
    environ: Mapping[str, str],
    apart: Path | None = None,
) -> list[dict[str, Any]]:
    """Run a process for each list of steps, all at once; return what each step did.

    Raises:
        AssertionError: a process did not exit with 0.
    """
    done = subprocess.run(
        [sys.executable, __file__, store, json.dumps(steps), *([str(apart)] if apart else [])],
        env=os.environ | dict(environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _write(store: str, steps: Sequence[Step]) -> None:
    opened = open_store(store, os.environ)
    for what, name in steps:
        begin = time.monotonic()
        if what == "merge":
            outcome = keep_cluster(opened, Cluster(dump(cluster(name)), name))
        else:
            outcome = remove_cluster(opened, name)
        seconds = time.monotonic() - begin
        line = {"what": what, "name": name, "changed": outcome.changed, "seconds": seconds}
        # One write of a short line to a pipe is never mixed with others.
        os.write(1, f"{json.dumps(line)}\n".encode())


def main() -> None:
    """Start all processes before the first one works."""
    # Imported once here rather than in each child; a connection is made by none yet.
    open_store(sys.argv[1], os.environ)
    store, steps = sys.argv[1], json.loads(sys.argv[2])
    ready, go = os.pipe()
    children = []
    for mine in steps:
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(ready, 1)
            code = 1
            try:
                for folder in sys.argv[3:]:
                    os.environ["XDG_RUNTIME_DIR"] = tempfile.mkdtemp(dir=folder)
                _write(store, mine)
                code = 0
            except StackyardError as error:
                os.write(2, f"{error}\n".encode())
            finally:
                os._exit(code)
        children.append(child)
    os.close(go)
    codes = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(1 if any(codes) else 0)


if __name__ == "__main__":
    main()
