"""Virtual environments with ansible-core and nothing else, as a stock AWX has; made once."""

import fcntl
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "ansible"


def ansible_venv(*requirements: str, python: str = sys.executable) -> Path:
    """Return the bin/ of an environment with just these packages, and what they need."""
    of = requirements if python == sys.executable else (python, *requirements)
    name = re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(of)).strip("-.")
    venv = CACHE / name
    complete = venv / ".complete"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            subprocess.run([python, "-m", "venv", "--clear", str(venv)], check=True)
            pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            subprocess.run([*pip, "--disable-pip-version-check", *requirements], check=True)
            complete.touch()
    return venv / "bin"


def bare_environment(**more: str) -> dict[str, str]:
    """Return what a container gives: no settings of this shell, and a home of no one's.

    Ansible makes a folder in it, as root wherever it is.
    """
    return {"PATH": "/usr/bin:/bin", "HOME": str(CACHE / "home"), "LC_ALL": "C.UTF-8"} | more


def checkout(folder: Path) -> Path:
    """Copy what Git has of the repository, as AWX gets it."""
    listed = subprocess.run(
        [
            shutil.which("git") or "git",
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    return folder
