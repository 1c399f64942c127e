"""Reads config.yaml: a mapping of flags to scalars or lists of scalars, the YAML that K3s needs.

Anything else (nested mappings, anchors, multi-line strings) is refused with file and line. Plain
numbers with a leading 0 are octal, as in K3s: `write-kubeconfig-mode: 0600` without quotes becomes
the text 384 there too, and K3s then sets a mode nobody wanted.
"""

import re
from pathlib import Path

from .log import FatalError

Value = str | list[str]

KEY = re.compile(r"^([A-Za-z0-9][A-Za-z0-9_.-]*\+?)\s*:(?:\s+(.*))?$")
ITEM = re.compile(r"^\s*-(?:\s+(.*))?$")
OCTAL = re.compile(r"^0[0-7]+$")
_QUOTES = r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')"""
QUOTED = re.compile(rf"^{_QUOTES}\s*(?:#.*)?$")
LISTED = re.compile(rf"(?:{_QUOTES}|[^,])+")  # what stands between the commas of a list
UNSUPPORTED = ("{", "&", "*", "!", "|", ">", "%", "@", "`")


def read(path: Path) -> dict[str, Value]:
    """Return the settings of a file; FatalError names the line that is not understood."""
    settings: dict[str, Value] = {}
    listed: str | None = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        where = f"{path}:{number}"
        if not line.strip() or line.lstrip().startswith("#") or line.strip() in ("---", "..."):
            continue
        item = ITEM.match(line)
        if item:
            _append(settings, listed, _scalar(item.group(1) or "", where), where)
            continue
        found = KEY.match(line)
        if not found:
            raise FatalError(f"{where}: yaml: could not read {line.strip()[:40]!r}")
        key, text = found.group(1), _without_comment(found.group(2) or "")
        if key in settings:
            raise FatalError(f"{where}: yaml: key {key!r} is there twice")
        settings[key] = _value(text, where)
        listed = key if not text else None
    return settings


def _append(settings: dict[str, Value], key: str | None, value: str, where: str) -> None:
    if key is None:
        raise FatalError(f"{where}: yaml: a list item where no list is")
    present = settings[key]
    settings[key] = [*present, value] if isinstance(present, list) else [value]


def _value(text: str, where: str) -> Value:
    if text.startswith("["):
        if not text.endswith("]"):
            raise FatalError(f"{where}: yaml: a list that does not end on its line")
        inner = text[1:-1].strip()
        return [_scalar(part[0].strip(), where) for part in LISTED.finditer(inner)]
    return _scalar(text, where)


def _without_comment(text: str) -> str:
    text = text.strip()
    quoted = QUOTED.match(text)
    if quoted:
        return quoted.group(1)
    return "" if text.startswith("#") else re.split(r"\s#", text, maxsplit=1)[0].rstrip()


def _scalar(text: str, where: str) -> str:
    text = _without_comment(text)
    if text.startswith(UNSUPPORTED) or KEY.match(text):
        raise FatalError(f"{where}: yaml: only scalars and lists of scalars are understood here")
    if text[:1] in ("'", '"'):
        return _unquoted(text, where)
    if text in ("null", "~"):
        return ""
    return str(int(text, 8)) if OCTAL.match(text) else text


def _unquoted(text: str, where: str) -> str:
    if not QUOTED.match(text):
        raise FatalError(f"{where}: yaml: a quote that does not end on its line")
    if text[0] == "'":
        return text[1:-1].replace("''", "'")
    return re.sub(r"\\(.)", r"\1", text[1:-1])
