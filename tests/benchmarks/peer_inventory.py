"""community.proxmox's inventory plugin, of the newest package `ansible`, on our own ansible-core.

Newer packages want a newer Python; the collection itself does not, so it alone is unpacked.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import yaml
from served import TOKEN, Served

PACKAGE, VERSION = "ansible==14.5.0", "2.0.0"
NAME = f"community.proxmox {VERSION} ({PACKAGE})"
COLLECTIONS = Path(__file__).parents[2] / ".cache" / "bench" / PACKAGE
_FOLDER = "ansible_collections/community/proxmox/"


def source(served: Served) -> Path:
    """Write a source for its plugin that asks for all facts; return its path."""
    _unpack()
    user, _, token = TOKEN.partition("!")
    options = {
        "plugin": "community.proxmox.proxmox",
        "url": f"https://127.0.0.1:{served.port}",
        "user": user,
        "token_id": token,
        "want_facts": True,
    }
    path = served.folder / "peer.proxmox.yml"
    path.write_text(yaml.safe_dump(options), encoding="utf-8")
    return path


def environ(served: Served) -> dict[str, str]:
    """Return its environment: no configuration of ours, and the endpoint's authority trusted."""
    config = served.folder / "peer.cfg"
    config.write_text("", encoding="utf-8")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    return {
        **kept,
        "ANSIBLE_CONFIG": str(config),
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_INVENTORY_ENABLED": "community.proxmox.proxmox",
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
        "PROXMOX_TOKEN_SECRET": served.secret,
        "REQUESTS_CA_BUNDLE": str(served.folder / "ca.pem"),
    }


def _unpack() -> None:
    if (COLLECTIONS / _FOLDER / "MANIFEST.json").exists():
        return
    with tempfile.TemporaryDirectory() as name:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        anywhere = ["--no-deps", "--only-binary=:all:", "--python-version=3.13"]
        subprocess.run([*pip, *anywhere, f"--dest={name}", PACKAGE], check=True)
        (wheel,) = Path(name).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = [one for one in archive.namelist() if one.startswith(_FOLDER)]
            manifest = f"{_FOLDER}MANIFEST.json"  # last: it says that all is there
            for one in sorted(names, key=manifest.__eq__):
                archive.extract(one, COLLECTIONS)
