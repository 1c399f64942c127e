"""Files that commands write: whole or not at all."""

from collections.abc import Callable
from pathlib import Path

from stackyard.errors import StackyardError


class FileError(StackyardError):
    """A file could not be written."""


def check_not_source(path: Path, site: Path) -> None:
    """Refuse to write over what a site is read from: a wrong completion would cost a definition.

    Raises:
        FileError: the file is in vms/, or it is inventory/site.yml or vms.yml.
    """
    target, root = resolved(path), resolved(site)
    sources = (root / "inventory" / name for name in ("site.yml", "vms.yml"))
    if resolved(root / "vms") in target.parents or target in map(resolved, sources):
        raise FileError(f"{path} is what the site is read from: name another file")


def resolved(path: Path) -> Path:
    """Follow links, as far as they lead anywhere."""
    try:
        return path.resolve()
    except RuntimeError:  # links that lead to each other
        return path.absolute()


def write_atomically(path: Path, text: str) -> None:
    """Write a file for its owner alone (0600), in place of one that is there.

    Raises:
        FileError: it may not be written, is no regular file, or is named -; its folder is missing.
    """
    _replace(path, text, lambda _: 0o600)


def write_public(path: Path, text: str) -> None:
    """Write a file that others may read (0644), or whose mode was chosen before.

    Raises:
        FileError: it may not be written, is no regular file, or is named -; its folder is missing.
    """
    from stackyard.stores.replace import kept_mode

    _replace(path, text, kept_mode)


def write_new(path: Path, text: str) -> None:
    """Write a file that must not be there yet.

    Raises:
        FileError: it is there, is named -, or its folder is missing or may not be written.
    """
    check_name(path)
    try:
        with path.open("x", encoding="utf-8") as file:
            try:
                file.write(text)
                file.flush()
            except BaseException:
                path.unlink()
                raise
    except FileExistsError:
        raise FileError(f"{path} is there already: remove it, or name another --output") from None
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}") from error


def _replace(path: Path, text: str, mode: Callable[[Path], int]) -> None:
    from stackyard.stores.file import reason
    from stackyard.stores.replace import locked, replace

    check_name(path)
    try:
        _check_kind(path)
        target = path.resolve()
        target.parent.stat()  # a folder that is missing is a typing error more often than a wish
        with locked(target):
            replace(target, text.encode(), mode(target))
    except (OSError, RuntimeError) as error:
        raise FileError(f"{path} cannot be written: {reason(error)}") from None


def check_name(path: Path) -> None:
    """Refuse a file that is called - by mistake.

    Raises:
        FileError: it is.
    """
    if path == Path("-"):  # elsewhere it means standard output, which is what the commands print to
        raise FileError("- is no name of a file here: name one, or leave the option out")


def _check_kind(path: Path) -> None:
    # A pipe behind /dev/stdout has no folder in which a new file could take its place.
    if path.exists() and not path.is_file() and not path.is_dir():
        raise FileError(f"{path} is no regular file: name one, or leave the option out")
