"""Whether this machine can run lab machines, and in one sentence why not."""

import os
import shutil
import subprocess
import sys

from stackyard.lab import cgroups
from stackyard.lab.errors import LabError

PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
}
"""What machines are run with, each with its Debian package."""


def why_simulated() -> str | None:
    """Return why machines can only be simulated here, None where they can run."""
    if sys.platform != "linux":
        return "this is no Linux machine"
    if os.geteuid() != 0:
        return "only root can boot machines"
    if not _may_unshare():
        return "this root may make no namespaces, as in a container without CAP_SYS_ADMIN"
    return None


def _may_unshare() -> bool:
    attempt = ["unshare", "--mount", "--net", "--pid", "--fork", "true"]
    try:
        return subprocess.run(attempt, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def check_programs() -> None:
    """Raise a LabError that names every Debian package that is missing."""
    missing = [package for name, package in PROGRAMS.items() if shutil.which(name) is None]
    if missing:
        raise LabError(
            f"the lab's machines need {' '.join(missing)}; run: apt-get install "
            f"{' '.join(missing)} (or use --no-machines)"
        )
    if cgroups.hierarchy() is None:
        raise LabError("no cgroup v2 hierarchy is mounted on this machine; use --no-machines")
