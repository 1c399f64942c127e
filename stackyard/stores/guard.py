"""Files on their way into Git: which must be encrypted, and whether each one is."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from stackyard.definitions.document import Problem
from stackyard.secrets import rules
from stackyard.secrets.clear import find_clear
from stackyard.secrets.encrypted import CHECKS, check_encrypted
from stackyard.stores.file import files_below
from stackyard.stores.protocol import StoreError
from stackyard.stores.secretfiles import FOLDER

# A file that says SOPS has encrypted it is held to that, wherever it is.
CLAIM = re.compile(r'^(?:sops:|sops_mac=)|"sops"\s*:', re.MULTILINE)

Sources = tuple[tuple[Path, rules.Rules], ...]


def guard(paths: Iterable[Path]) -> list[Problem]:
    """Return everything in files, and in the files below folders, that must not be in clear.

    A file must be encrypted when a rule of any `.sops.yaml` above it in its repository is for it,
    or when it is YAML, JSON or .env below a folder `secrets`; where there is no `.sops.yaml`, every
    file must. In all others only private keys and kubeconfigs are looked for.

    A file that cannot be read is a problem too.

    Raises:
        StoreError: a `.sops.yaml` cannot be read.
        SecretsError: a `.sops.yaml` cannot be understood.
    """
    known: dict[Path, Sources] = {}
    return [problem for path in _files(paths) for problem in _check(path, known)]


def has_rules(path: Path) -> bool:
    """Tell whether any `.sops.yaml` in its repository is above a file.

    Raises:
        StoreError, SecretsError: see `guard`.
    """
    try:
        return any(_sources(path.resolve().parent))
    except (OSError, RuntimeError):  # it cannot be read, which rules do not change
        return True


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if _is(path.is_dir, unknown=False):
            for one in files_below(path):
                if _is(one.is_file, unknown=True) and ".git" not in one.parts:
                    yield one
        else:
            yield path


def _is(kind: Callable[[], bool], unknown: bool) -> bool:
    """Tell a path's kind; of one that may not be looked at, reading it will say why."""
    try:
        return kind()
    except OSError:
        return unknown


def _check(path: Path, known: dict[Path, Sources]) -> Iterator[Problem]:
    try:
        content = _content(path)
    except StoreError as error:
        yield Problem(str(path), 1, str(error).removeprefix(f"{path} "))
        return
    for line, sentence in find_clear(content):
        yield Problem(str(path), line, sentence)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        if _is_covered(path, known):
            yield Problem(str(path), 1, "is not encrypted by SOPS")
        return
    claims = path.name.endswith(tuple(CHECKS)) and CLAIM.search(text)
    if claims or _is_covered(path, known):
        for line, sentence in check_encrypted(text, path.name):
            yield Problem(str(path), line, sentence)


def _is_covered(path: Path, known: dict[Path, Sources]) -> bool:
    if path.name == rules.NAME:
        return False
    place = path.resolve()
    if place.parent not in known:
        known[place.parent] = tuple(_sources(place.parent))
    sources = known[place.parent]
    return not sources or any(
        rules.is_covered(found, place.relative_to(folder).as_posix())
        or _is_secret(place.relative_to(folder))
        for folder, found in sources
    )


def _is_secret(path: Path) -> bool:
    return FOLDER in path.parent.parts and path.name.lower().endswith(tuple(CHECKS))


def _sources(folder: Path) -> Iterator[tuple[Path, rules.Rules]]:
    """Yield all rules up to the repository's root: a nearer file must not weaken a farther one."""
    for place in (folder, *folder.parents):
        file = place / rules.NAME
        if file.is_file():
            yield place, rules.parse_rules(_content(file).decode(errors="replace"), str(file))
        if (place / ".git").exists():
            return


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from None
