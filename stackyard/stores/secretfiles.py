"""A site's secret files, `secrets/**.yaml`: found, read by name, and decrypted in memory."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from stackyard.definitions.document import read_document
from stackyard.errors import StackyardError
from stackyard.secrets.errors import SecretsError
from stackyard.secrets.tree import Entry, Place, read_entries
from stackyard.stores.file import files_below
from stackyard.stores.protocol import StoreError
from stackyard.stores.sops import SopsFile
from stackyard.stores.sync import AGREED

FOLDER = "secrets"
SUFFIXES = (".yaml", ".yml")
AT_ONCE = 4  # sops processes


def find_files(site: Path) -> tuple[Path, ...]:
    """Return a site's secret files in order.

    Raises:
        SecretsError: there is none, one ends in .YAML, or a link leads nowhere.
        StoreError: a folder cannot be read.
    """
    found = _found(site)
    if not found:
        raise SecretsError(f"there is no secret file below {site / FOLDER}")
    return found


def find_names(site: Path) -> tuple[Entry, ...]:
    """Return what a site's files define, nothing where it has none; nothing is decrypted.

    Raises:
        SecretsError: with what is wrong with each file.
        StoreError: a folder cannot be read.
    """
    return read_names(_found(site))


def file_of(site: Path, name: str) -> Path:
    """Return the file of a name as `common/cluster-secret-store/secrets/GRAFANA`, or of a path.

    Raises:
        SecretsError: the name leads out of the site's folder.
    """
    if name.endswith(SUFFIXES):
        return Path(name)
    if ".." in Path(name).parts or Path(name).is_absolute() or not name:
        raise SecretsError(f"{name!r} is no name of a file below {site / FOLDER}")
    return site / FOLDER / f"{name}.yaml"


def read_names(paths: Iterable[Path]) -> tuple[Entry, ...]:
    """Return what files define, with the values as they are on the disk: nothing is decrypted.

    Raises:
        SecretsError: with what is wrong with each file.
    """
    return _each(paths, lambda path: read_entries(_text(path), str(path)))


def decrypt(path: Path, environ: Mapping[str, str]) -> str:
    """Return a file in clear.

    Raises:
        StoreError: it is not there, or cannot be decrypted.
    """
    text = SopsFile(path, environ).read().document
    if text is None:
        raise StoreError(f"{path} is not there")
    return text


def decrypt_entries(paths: Iterable[Path], environ: Mapping[str, str]) -> tuple[Entry, ...]:
    """Return what files define, decrypted: all of it or nothing.

    Raises:
        SecretsError: with what is wrong with each file that cannot be used.
    """
    return _each(paths, lambda path: read_entries(decrypt(path, environ), str(path)))


def find_synced(entries: Iterable[Entry]) -> set[Place]:
    """Return the kubeconfigs that `kubeconfig sync` keeps: each alone in a file that remembers it.

    Raises:
        StoreError: a file cannot be read.
    """
    places: dict[str, set[Place]] = {}
    for entry in entries:
        places.setdefault(entry.file, set()).add(entry.place)
    return {
        place
        for file, (place, *others) in places.items()
        if not others and _remembers(_text(Path(file)))
    }


def _remembers(text: str) -> bool:
    above, below = AGREED
    if below not in text:
        return False
    found = read_document(text).get(above)
    return isinstance(found, dict) and below in found


def read_secret(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the keys and values of the only secret in a file.

    Raises:
        SecretsError: the file defines none, or several.
        StoreError: it cannot be decrypted.
    """
    entries = read_entries(decrypt(path, environ), str(path))
    places = {entry.place for entry in entries}
    if len(places) != 1:
        raise SecretsError(f"{path} has {len(places)} secrets and not one")
    return {entry.key: entry.value for entry in entries}


def read_value(path: Path, key: str, environ: Mapping[str, str]) -> str:
    """Return the value of one key of the only secret in a file.

    Raises:
        SecretsError: the file defines no secret, several, or one without such a key.
        StoreError: it cannot be decrypted.
    """
    found = read_secret(path, environ)
    if key not in found:
        raise SecretsError(f"{path} has no key {key}: it has {', '.join(found)}")
    return found[key]


def _found(site: Path) -> tuple[Path, ...]:
    folder = site / FOLDER
    # Who reads a link that leads nowhere is told so; left out, its secrets would be pruned.
    found = tuple(
        path
        for path in (files_below(folder, through_links=True) if folder.exists() else ())
        if (path.suffix.lower() in SUFFIXES or not path.exists())
        and (path.is_file() or path.is_symlink())
        and not path.name.startswith(".")
    )
    for path in found:
        if path.suffix.lower() not in SUFFIXES:
            raise SecretsError(f"{path} leads nowhere: secrets may be behind it")
        if path.suffix not in SUFFIXES:  # to SOPS another kind of file
            raise SecretsError(f"{path} ends in {path.suffix}: write {path.suffix.lower()}")
    return found


def _each(paths: Iterable[Path], read: Callable[[Path], tuple[Entry, ...]]) -> tuple[Entry, ...]:
    def attempt(path: Path) -> tuple[Entry, ...] | StackyardError:
        try:
            return read(path)
        except StackyardError as error:
            return error

    with ThreadPoolExecutor(AT_ONCE) as threads:
        results = list(threads.map(attempt, paths))
    problems = [str(result) for result in results if isinstance(result, StackyardError)]
    if problems:
        raise SecretsError("\n".join(problems))
    entries = (result for result in results if not isinstance(result, StackyardError))
    return tuple(chain.from_iterable(entries))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise StoreError(f"{path} cannot be read as text") from None
