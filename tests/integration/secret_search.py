"""Where secrets may have got to: files, and the command lines of all processes of this machine."""

import json
import os
import re
import stat
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from lab_fixture import RunningLab

PAUSE = 0.02  # seconds between two looks at all processes


def lab_secrets(lab: RunningLab) -> list[bytes]:
    """Return all that opens a door of a lab: users, tokens, Vault's keys, the key of its ssh."""
    found = list(json.loads((lab.folder / "identities.json").read_text()).values())
    keys = json.loads((lab.folder / "vault" / "keys.json").read_text())
    found += [lab.environ["VAULT_TOKEN"], keys["root_token"], *keys["keys"]]
    ssh_key = Path(lab.environ["ANSIBLE_PRIVATE_KEY_FILE"]).read_text()
    found += [line for line in ssh_key.splitlines() if re.fullmatch(r"[A-Za-z0-9+/]{60,}", line)]
    assert len(found) > 6
    assert all(len(secret) > 10 for secret in found)
    return [secret.encode() for secret in found]


def files_of(*folders: Path) -> Iterator[Path]:
    """Give the regular files below these folders, on their own file systems."""
    for top in folders:
        for folder, _, names in os.walk(top):
            yield from (path for name in names if (path := Path(folder, name)).is_file())


def holds(path: Path, secrets: Sequence[bytes]) -> bool:
    """Tell whether a file holds one of these secrets; one that is gone by now does not."""
    try:
        content = path.read_bytes() if not path.is_symlink() else b""
    except FileNotFoundError:
        return False
    return any(secret in content for secret in secrets)


def is_private(path: Path) -> bool:
    """Tell whether the owner alone may read a file."""
    return stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


class CommandLines:
    """Collects the command lines of all processes, the lab's machines' too, while it is entered."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="command lines")

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._watcher.join()

    def of(self, word: bytes) -> list[bytes]:
        """Return those that hold a word."""
        return [line for line in self.seen if word in line]

    def _watch(self) -> None:
        while not self._over.wait(PAUSE):
            for folder in Path("/proc").glob("[0-9]*"):
                self.seen.update(_command_line(folder))


def _command_line(process: Path) -> Iterator[bytes]:
    try:
        yield (process / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return
