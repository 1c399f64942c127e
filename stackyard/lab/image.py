"""The image below every lab machine: made once, kept in the cache, never written to again."""

import fcntl
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stackyard.lab.errors import LabError
from stackyard.lab.folder import ignore_in_git, write_private
from stackyard.lab.recipe import Recipe, make_recipe
from stackyard.lab.sources import ETC_APT, apt_proxy, codename, debian_sources

Report = Callable[[str], None]
"""Is told each step of slow work, in a few words."""

IMAGE = "image-"
PACKAGES = "packages"  # what the package proxy keeps
OURS = (IMAGE, PACKAGES, ".gitignore")  # how names in a cache begin, also of what is unfinished
LAST_LINES = 5  # of mmdebstrap's output, in an error


def ensure_image(cache: Path, report: Report) -> Path:
    """Return the image's folder, made first where the cache has none of the recipe."""
    release = codename()
    recipe = make_recipe(release, platform.release(), debian_sources(ETC_APT, release))
    image = cache / f"{IMAGE}{recipe.digest}"
    if image.exists():
        return image
    make_private(cache)
    with _locked(cache, report):
        if not image.exists():
            _build(recipe, image, report)
    return image


def make_private(cache: Path) -> None:
    """Make a cache's folder for its owner alone: images have setuid programs and devices.

    Raises:
        LabError: there cannot be one, or it has something else, which others may have to read.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        for entry in cache.iterdir():
            if not entry.name.startswith(OURS):
                raise LabError(f"{cache} has {entry.name} and is no cache; choose another --cache")
        cache.chmod(0o700)
        ignore_in_git(cache)
    except OSError as error:
        raise LabError(f"{cache} cannot be made a folder: {error.strerror}") from error


@contextmanager
def _locked(folder: Path, report: Report) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another lab that makes the machine image")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _build(recipe: Recipe, image: Path, report: Report) -> None:
    """Build under another name and rename, so that an image that is there is whole."""
    unfinished = image.with_name(f"{image.name}.unfinished")
    _discard(unfinished)
    report(f"making the machine image of Debian {recipe.release}, once")
    try:
        _bootstrap(recipe, unfinished, report)
        report("configuring the machine image")
        _configure(recipe, unfinished)
    except BaseException:
        _discard(unfinished)
        raise
    unfinished.rename(image)


def _discard(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _bootstrap(recipe: Recipe, target: Path, report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="stackyard-image-") as work:
        sources = Path(work) / "sources.list"
        sources.write_text("".join(f"{one.line()}\n" for one in recipe.sources), encoding="utf-8")
        options = Path(work) / "proxy.conf"
        proxy = apt_proxy()
        # In a file, not in argv: a proxy's address may hold a password.
        write_private(options, f'Acquire::http::Proxy "{proxy}";\n' if proxy else "")
        # Namespaces of its own: however it ends, nothing stays mounted or running.
        command = [
            *("setpriv", "--pdeathsig", "KILL"),
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"),
            "--dpkgopt=force-unsafe-io",
            f"--aptopt={options}",
            f"--include={','.join(recipe.packages)}",
            *(recipe.release, str(target), str(sources)),
        ]
        _follow(command, report)


def _follow(command: list[str], report: Report) -> None:
    """Run mmdebstrap and report its steps, which it says as `I: <step>`."""
    lines: list[str] = []
    with subprocess.Popen(
        command,
        umask=0o022,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            for line in process.stdout or ():
                lines.append(line.strip())
                if line.startswith("I: "):
                    report(f"machine image: {line[3:].strip()}")
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        last = " / ".join(line for line in lines[-LAST_LINES:] if line)
        raise LabError(f"mmdebstrap could not make the machine image: {last}")


def _configure(recipe: Recipe, root: Path) -> None:
    for pattern in recipe.removed:
        for file in root.glob(pattern):
            file.unlink()
    for name, text in {**recipe.files, **recipe.programs}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(0o755 if name in recipe.programs else 0o644)
    units = root / "etc/systemd/system"
    links = {units / name: "/dev/null" for name in recipe.masked}
    links |= {root / name: target for name, target in recipe.links.items()}
    for link, destination in links.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(destination)
    depmod = ["chroot", str(root), "depmod", recipe.kernel]
    subprocess.run(depmod, check=True)
