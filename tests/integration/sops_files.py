"""SOPS with an age key of the tests' own."""

import os
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pyrage


@dataclass(frozen=True)
class Sops:
    """A folder with a .sops.yaml, and the environment in which `sops` has its key."""

    folder: Path
    environ: dict[str, str]
    recipient: str


def make_sops(folder: Path, rule: str = "") -> Sops:
    """Make a key and a rule for all YAML files below the folder; `rule` adds a line to it."""
    folder.mkdir(parents=True, exist_ok=True)
    identity = pyrage.x25519.Identity.generate()
    recipient = str(identity.to_public())
    key = folder.parent / f"{folder.name}.agekey"
    key.touch(mode=0o600)
    key.write_text(f"{identity}\n")
    lines = ["creation_rules:", r"  - path_regex: \.yaml$", f"    age: {recipient}"]
    if rule:
        lines.append(f"    {rule}")
    (folder / ".sops.yaml").write_text("\n".join(lines) + "\n")
    path = f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"
    environ = {"PATH": path, "HOME": str(folder), "SOPS_AGE_KEY_FILE": str(key)}
    return Sops(folder, environ, recipient)
