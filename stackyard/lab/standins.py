"""The stand-ins for tools that the lab cannot have, each built into one executable file.

A stand-in is a package of small modules under assets/ that needs Python 3.11 and its standard
library alone. The lab's mirror serves it as the release artefact it stands for.
"""

import io
import zipfile
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"

SHEBANG = b"#!/usr/bin/env python3\n"
STAMP = "@VERSION@"
# The same source gives the same bytes, so that a role finds the checksum it knows.
MOMENT = (2025, 1, 1, 0, 0, 0)


def k3s(version: str) -> bytes:
    """Return the executable `k3s` of a version such as v1.33.5+k3s1."""
    return _executable(ASSETS / "k3s", version)


def _executable(package: Path, version: str) -> bytes:
    """Return a package as a Python zip application that carries the version."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = f"from {package.name}.__main__ import main\n\nmain()\n"
        archive.writestr(zipfile.ZipInfo("__main__.py", MOMENT), entry)
        for module in sorted(package.glob("*.py")):
            text = module.read_text(encoding="utf-8").replace(STAMP, version)
            archive.writestr(zipfile.ZipInfo(f"{package.name}/{module.name}", MOMENT), text)
    return SHEBANG + content.getvalue()
