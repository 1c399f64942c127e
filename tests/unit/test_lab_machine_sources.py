"""The lab's machines come from this machine's own Debian sources, and from nothing else."""

from pathlib import Path

import pytest

from stackyard.lab.errors import LabError
from stackyard.lab.sources import KEYRING, Source, debian_sources

DEB822 = """\
Types: deb deb-src
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
 bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://mirror.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""
ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/etc/apt/keyrings/vendor.gpg] https://vendor.example/apt bookworm main
deb https://docker.example/linux/debian bookworm stable
deb-src http://mirror.example/debian bookworm main
deb http://second.example:8080/debian stable main non-free # ours
deb cdrom:[Debian]/ bookworm main
"""


def etc(tmp_path: Path, **files: str) -> Path:
    """Write apt's folder with files of sources.list.d; a name's __ is its dot."""
    (tmp_path / "sources.list.d").mkdir()
    for name, text in files.items():
        (tmp_path / "sources.list.d" / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return tmp_path


def test_debians_own_suites_are_found_in_both_formats(tmp_path: Path) -> None:
    found = debian_sources(etc(tmp_path, debian__sources=DEB822, more__list=ONE_LINE), "bookworm")
    assert found == (
        Source("http://second.example:8080/debian", "bookworm", ("main", "non-free")),
        Source("http://mirror.example/debian", "bookworm", ("main", "contrib")),
        Source("http://mirror.example/debian", "bookworm-updates", ("main", "contrib")),
        Source("https://mirror.example/debian-security", "bookworm-security", ("main",)),
    )
    assert found[0].host == "second.example:8080"


def test_a_cloud_images_mirror_file_stands_for_its_first_address(tmp_path: Path) -> None:
    mirrors = tmp_path / "mirrors.list"
    mirrors.write_text("https://near.example/debian\nhttps://far.example/debian\n")
    text = f"Types: deb\nURIs: mirror+file:{mirrors}\nSuites: bookworm\nComponents: main\n"
    (found,) = debian_sources(etc(tmp_path, debian__sources=text), "bookworm")
    assert found.uri == "https://near.example/debian"


def test_a_line_keeps_its_place_and_says_who_signs_it() -> None:
    source = Source("https://mirror.example/debian", "bookworm", ("main",))
    assert source.line() == (
        f"deb [signed-by={KEYRING}] https://mirror.example/debian bookworm main"
    )
    assert " http://mirror.example/debian " in source.line("http")


@pytest.mark.parametrize("text", ["", "Types: deb\nURIs: http://a/\nSuites: sid\nComponents: main"])
def test_without_the_release_the_error_says_what_to_add(tmp_path: Path, text: str) -> None:
    with pytest.raises(LabError, match=r"no http or https source of Debian bookworm; add one"):
        debian_sources(etc(tmp_path, debian__sources=text), "bookworm")
