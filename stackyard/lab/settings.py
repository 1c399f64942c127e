"""What a lab's daemon is told at its start, and what it says once everything answers."""

import json
from dataclasses import asdict, dataclass

from stackyard.lab.folder import Folder, read_json, write_json


@dataclass(frozen=True, slots=True)
class Settings:
    """How a lab is to run; paths are absolute."""

    platform: str
    """The platform file."""
    cache: str
    """Where images and packages are kept between labs."""
    image: str
    """The image below the machines; empty: machines are simulated."""

    @property
    def simulated(self) -> bool:
        """Whether the machines only say they run."""
        return not self.image

    def save(self, folder: Folder) -> None:
        """Write the settings into the lab's folder."""
        write_json(folder.settings, asdict(self))


def load_settings(folder: Folder) -> Settings:
    """Read the settings of a lab's folder; FileNotFoundError where there is no lab."""
    return Settings(**read_json(folder.settings))


@dataclass(frozen=True, slots=True)
class Services:
    """Where a running lab answers."""

    proxmox: str
    vault: str
    mirror: str

    def save(self, folder: Folder) -> None:
        """Say that everything answers."""
        write_json(folder.ready, asdict(self))


def load_services(folder: Folder) -> Services | None:
    """Return where a lab answers, None before it does."""
    try:
        return Services(**json.loads(folder.ready.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
