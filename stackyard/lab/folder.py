"""Where everything of one lab lies: one folder that only its owner can read."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stackyard.lab.addresses import lab_id
from stackyard.lab.errors import LabError

PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of a lab below its folder."""

    path: Path

    @property
    def process(self) -> Path:
        """The daemon's process id and start time."""
        return self.path / "daemon.pid"

    @property
    def log(self) -> Path:
        """What the daemon says."""
        return self.path / "daemon.log"

    @property
    def settings(self) -> Path:
        """What the daemon was told at its start."""
        return self.path / "settings.json"

    @property
    def ready(self) -> Path:
        """Where everything answers; it is there once all does."""
        return self.path / "ready.json"

    @property
    def environment(self) -> Path:
        """The variables that point the product at the lab, secrets among them."""
        return self.path / "environment.json"

    @property
    def requests(self) -> Path:
        """One line for each request to the Proxmox endpoint."""
        return self.path / "requests.jsonl"

    @property
    def authority(self) -> Path:
        """The certificate of the lab's own authority."""
        return self.path / "ca.pem"

    @property
    def certificate(self) -> Path:
        """The certificate of all the lab's services."""
        return self.path / "server.pem"

    @property
    def certificate_key(self) -> Path:
        """The key of that certificate."""
        return self.path / "server.key"

    @property
    def identities(self) -> Path:
        """The secret of each Proxmox user and token."""
        return self.path / "identities.json"

    @property
    def ssh_key(self) -> Path:
        """The private key whose public half the machines are given."""
        return self.path / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """Where the product pins the machines' host keys."""
        return self.path / "known_hosts"

    @property
    def audit(self) -> Path:
        """What was done to the lab's VMs, which is nothing for a site's own log."""
        return self.path / "audit.jsonl"

    @property
    def ansible(self) -> Path:
        """What Ansible keeps of its own in a user's home."""
        return self.path / "ansible"

    @property
    def kubectl(self) -> Path:
        """What kubectl remembers of the clusters."""
        return self.path / "kubectl"

    @property
    def sockets(self) -> Path:
        """Ssh's sockets: outside, for the path of one has 107 bytes at most (unix(7))."""
        return Path("/run") / lab_id(self.path)

    @property
    def vault(self) -> Path:
        """OpenBao's configuration and keys."""
        return self.path / "vault"

    @property
    def machines(self) -> Path:
        """One folder for each machine."""
        return self.path / "machines"

    def create(self) -> None:
        """Make the folder where there is none, for its owner only.

        Raises:
            LabError: there cannot be one.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise LabError(f"{self.path} cannot be made a folder: {error.strerror}") from error

    def empty(self) -> None:
        """Remove all that is in the folder; what makes it a lab's folder goes last."""
        if self.sockets.exists():
            shutil.rmtree(self.sockets)
        for entry in sorted(self.path.iterdir(), key=lambda one: one == self.settings):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def ignore_in_git(folder: Path) -> None:
    """Keep all of a folder out of the repository that it may lie in, keys among it."""
    ignore = folder / ".gitignore"
    if not ignore.exists():
        write_private(ignore, "*\n")


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, from the first byte on, whole or not at all."""
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    fresh.replace(file)


def write_json(file: Path, document: Mapping[str, object]) -> None:
    """Write a document that only its owner can read."""
    write_private(file, json.dumps(document, indent=2) + "\n")


def read_json(file: Path) -> dict[str, str]:
    """Read a document of names and texts; OSError where there is none."""
    document: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return document
