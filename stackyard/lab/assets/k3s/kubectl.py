"""`k3s kubectl`: as much of kubectl as a role needs on the machine itself: get, version."""

import base64
import http.client
import json
import os
import re
import ssl
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from .api import JSON, KINDS, NAMESPACED, SHORT
from .version import VERSION

KUBECONFIG = "/etc/rancher/k3s/k3s.yaml"
FIELDS = {
    "server": "server",
    "ca": "certificate-authority-data",
    "cert": "client-certificate-data",
    "key": "client-key-data",
}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
SECONDS = 30.0
OUTPUTS = ("", "json", "name", "wide")


class KubectlError(Exception):
    """What kubectl prints before it exits with 1."""


@dataclass(frozen=True)
class Options:
    """The words of a command line, sorted."""

    words: tuple[str, ...]
    raw: str
    output: str
    kubeconfig: str
    selector: str
    headers: bool


def run(argv: Sequence[str]) -> int:
    """Carry out one command; the return value is the exit code."""
    try:
        options = _options(argv)
        sys.stdout.write(_run(options))
    except KubectlError as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    return 0


def _run(options: Options) -> str:
    verb = (*options.words, "")[0]
    command = {"get": _get, "version": _version}.get(verb)
    if command is None:
        raise KubectlError(f"error: the stand-in's kubectl knows get and version, not {verb!r}")
    return command(options)


def _options(argv: Sequence[str]) -> Options:
    names = {"-o": "output", "-l": "selector", "--request-timeout": "ignored"}
    values = {"raw": "", "output": "", "kubeconfig": "", "selector": "", "ignored": ""}
    words: list[str] = []
    headers = True
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        key = names.get(name, name.removeprefix("--"))
        if word == "--no-headers":
            headers = False
        elif not word.startswith("-"):
            words.append(word)
        elif key in values and (equals or rest):
            values[key] = value if equals else rest.pop(0)
        elif word[:2] in names and word[2:]:
            values[names[word[:2]]] = word[2:]
        else:
            raise KubectlError(f"error: unknown flag: {word}")
    if values["output"] not in OUTPUTS:
        raise KubectlError(
            f"error: the stand-in's kubectl has no output format {values['output']!r}"
        )
    return Options(
        words=tuple(words),
        raw=values["raw"],
        output=values["output"],
        kubeconfig=values["kubeconfig"] or os.environ.get("KUBECONFIG") or KUBECONFIG,
        selector=values["selector"],
        headers=headers,
    )


def _version(options: Options) -> str:
    server = json.loads(_fetch(options, "/version", JSON))["gitVersion"]
    return f"Client Version: {VERSION}\nServer Version: {server}\n"


def _get(options: Options) -> str:
    if options.raw:
        return _fetch(options, options.raw, JSON)
    _verb, given, *names = (*options.words, "", "")
    if not given:
        raise KubectlError("error: You must specify the type of resource to get.")
    resource, _, slashed = given.partition("/")
    name = slashed or names[0]
    path = _path(resource, name)
    if options.selector:
        path += f"?labelSelector={quote(options.selector)}"
    if options.output in ("json", "name"):
        document = json.loads(_fetch(options, path, JSON))
        if options.output == "json":
            return json.dumps(document, indent=4) + "\n"
        items = document.get("items", [document])
        return "".join(f"{item['kind'].lower()}/{item['metadata']['name']}\n" for item in items)
    return _columns(json.loads(_fetch(options, path, TABLE)), options)


def _path(resource: str, name: str) -> str:
    for plural, kind in KINDS.items():
        if resource in (plural, kind.lower(), *SHORT[plural]):
            scope = "/namespaces/default" if plural in NAMESPACED else ""
            return f"/api/v1{scope}/{plural}" + (f"/{name}" if name else "")
    raise KubectlError(f"error: the server doesn't have a resource type {resource!r}")


def _columns(document: dict[str, Any], options: Options) -> str:
    wide = options.output == "wide"
    chosen = [
        number
        for number, column in enumerate(document["columnDefinitions"])
        if wide or not column["priority"]
    ]
    header = [column["name"].upper() for column in document["columnDefinitions"]]
    rows = [row["cells"] for row in document["rows"]]
    if not rows:
        return "No resources found\n"
    lines = [[row[number] for number in chosen] for row in [header, *rows]]
    widths = [max(len(line[place]) for line in lines) for place in range(len(chosen))]
    texts = [
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join(texts if options.headers else texts[1:]) + "\n"


def _fetch(options: Options, path: str, accept: str) -> str:
    """Return what the API answers; KubectlError says in kubectl's words why not."""
    settings = _kubeconfig(Path(options.kubeconfig))
    url = urlsplit(settings["server"])
    connection = http.client.HTTPSConnection(
        url.hostname or "", url.port, timeout=SECONDS, context=_context(settings)
    )
    try:
        connection.request("GET", path, headers={"Accept": accept})
        response = connection.getresponse()
        text = response.read().decode("utf-8")
    except ConnectionRefusedError:
        raise KubectlError(
            f"The connection to the server {url.netloc} was refused - "
            "did you specify the right host or port?"
        ) from None
    except OSError as error:
        raise KubectlError(f"Unable to connect to the server: {error}") from None
    finally:
        connection.close()
    if response.status >= http.HTTPStatus.BAD_REQUEST:
        status = json.loads(text)
        raise KubectlError(f"Error from server ({status['reason']}): {status['message']}")
    return text


def _kubeconfig(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise KubectlError(
            "The connection to the server localhost:8080 was refused - "
            "did you specify the right host or port?"
        ) from None
    except OSError as error:
        problem = f'error loading config file "{path}": open {path}: {error.strerror}'
        raise KubectlError(f"error: {problem}") from None
    found = {
        name: re.search(rf"^\s*{field}:\s*(\S+)\s*$", text, re.MULTILINE)
        for name, field in FIELDS.items()
    }
    missing = [FIELDS[name] for name, match in found.items() if not match]
    if missing:
        raise KubectlError(f"error: {path} has no {', '.join(missing)}")
    return {name: match.group(1) for name, match in found.items() if match}


def _context(settings: dict[str, str]) -> ssl.SSLContext:
    plain = {
        name: base64.b64decode(settings[name]).decode("ascii") for name in ("ca", "cert", "key")
    }
    context = ssl.create_default_context(cadata=plain["ca"])
    with tempfile.NamedTemporaryFile("w", prefix="k3s-kubectl-") as both:
        both.write(plain["cert"] + plain["key"])
        both.flush()
        context.load_cert_chain(both.name)
    return context
