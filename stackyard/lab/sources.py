"""Where this machine's own apt gets Debian from: the lab's machines are made from the same.

Reads one-line files and deb822 files as sources.list(5) tells. Only Debian's own suites count: a
vendor's repository is none of a fresh machine's business.
"""

import platform
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from stackyard.lab.errors import LabError

ETC_APT = Path("/etc/apt")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)\]\s*)?(?P<uri>\S+)\s+(?P<rest>.+)")
WEB = ("http", "https")


@dataclass(frozen=True, slots=True)
class Source:
    """One suite at one place."""

    uri: str
    suite: str
    components: tuple[str, ...]

    @property
    def scheme(self) -> str:
        """The scheme of the place: http or https."""
        return urlsplit(self.uri).scheme

    @property
    def host(self) -> str:
        """The host of the place, with its port where one is given."""
        return urlsplit(self.uri).netloc

    def line(self, scheme: str | None = None) -> str:
        """Return the line of sources.list, over another scheme where one is given."""
        uri = urlsplit(self.uri)._replace(scheme=scheme or self.scheme).geturl()
        return f"deb [signed-by={KEYRING}] {uri} {self.suite} {' '.join(self.components)}"


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a file says, before anything is left out."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str


def codename() -> str:
    """Return this machine's Debian release, such as bookworm; LabError on another system."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    if release.get("ID") != "debian" or "VERSION_CODENAME" not in release:
        raise LabError(
            "the lab's machines are made from this machine's own apt sources, and this is no "
            "Debian release; use --no-machines"
        )
    return release["VERSION_CODENAME"]


def debian_sources(etc: Path, release: str) -> tuple[Source, ...]:
    """Return the sources of a Debian release that apt's folder names, each once."""
    suites = {f"{name}{part}" for name in (release, "stable") for part in _PARTS}
    found = {
        Source(entry.uri, _named(entry.suite, release), entry.components): None
        for entry in _entries(etc)
        if entry.suite in suites and "main" in entry.components and _is_debians(entry.signed_by)
    }
    if not any(source.suite == release for source in found):
        raise LabError(f"{etc} names no http or https source of Debian {release}; add one")
    return tuple(found)


_PARTS = ("", "-updates", "-security")


def apt_proxy() -> str | None:
    """Return the proxy that this machine's apt is told to use, None where there is none."""
    dump = subprocess.run(
        ["/usr/bin/apt-config", "dump", "--format", "%v%n", "Acquire::http::Proxy"],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = dump.stdout.split()
    return lines[0] if lines and lines[0] != "DIRECT" else None


def _named(suite: str, release: str) -> str:
    return suite.replace("stable", release, 1)


def _is_debians(signed_by: str) -> bool:
    return not signed_by or "debian-archive" in signed_by or "BEGIN PGP" in signed_by


def _entries(etc: Path) -> Iterator[_Entry]:
    for file in (etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))):
        if file.is_file():
            yield from _one_line(file.read_text(encoding="utf-8").splitlines())
    for file in sorted((etc / "sources.list.d").glob("*.sources")):
        yield from _deb822(file.read_text(encoding="utf-8"))


def _one_line(lines: Iterable[str]) -> Iterator[_Entry]:
    for line in lines:
        match = ONE_LINE.fullmatch(line.partition("#")[0].strip())
        if match is None:
            continue
        suite, *components = match["rest"].split()
        options = dict(option.partition("=")[::2] for option in (match["options"] or "").split())
        for uri in _places(match["uri"]):
            yield _Entry(uri, suite, tuple(components), options.get("signed-by", ""))


def _deb822(text: str) -> Iterator[_Entry]:
    for stanza in re.split(r"\n\s*\n", text):
        fields = _fields(stanza)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled") == "no":
            continue
        for uri in (place for one in fields.get("uris", "").split() for place in _places(one)):
            for suite in fields.get("suites", "").split():
                components = tuple(fields.get("components", "").split())
                yield _Entry(uri, suite, components, fields.get("signed-by", ""))


def _fields(stanza: str) -> dict[str, str]:
    """Return a stanza's fields by lower-case name; continuation lines are joined to theirs."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace():
            fields[name] = f"{fields.get(name, '')} {line.strip()}".strip()
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _places(uri: str) -> tuple[str, ...]:
    """Return the web addresses that a URI stands for; Debian's cloud images name a list file."""
    parts = urlsplit(uri)
    if parts.scheme == "mirror+file":
        file = Path(parts.path)
        lines = file.read_text(encoding="utf-8").split() if file.is_file() else []
        return tuple(line for line in lines if urlsplit(line).scheme in WEB)[:1]
    return (uri,) if parts.scheme in WEB else ()
