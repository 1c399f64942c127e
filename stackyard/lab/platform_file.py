"""Reads a platform file; every mistake is one sentence with file and line."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import yaml

from stackyard.lab.platform import (
    File,
    Guest,
    Latency,
    Node,
    Platform,
    PlatformError,
    Storage,
    Timing,
    Token,
    User,
)
from stackyard.lab.section import Lines, Section, lines_of

EXAMPLE = Path(__file__).parent / "platforms" / "example.yaml"
_LOWEST_VMID = 100
_DEFAULT_PATH = {"dir": "/var/lib/{}", "lvmthin": "/dev/{}"}


def load_platform(path: Path = EXAMPLE) -> Platform:
    """Read a platform file.

    Raises:
        PlatformError: the file cannot be read, is no YAML, or says what cannot be played.
    """
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
        lines = lines_of(root)
    except OSError as error:
        raise PlatformError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise PlatformError(f"{path}:{line}: no valid YAML: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise PlatformError(f"{path}: no valid YAML: {' '.join(str(error).split())}") from error
    except ValueError as error:  # a date or a number that is none, or bytes that are no text
        raise PlatformError(f"{path}: no valid YAML: {error}") from error
    except RecursionError as error:
        raise PlatformError(f"{path}: is nested too deep, or in itself") from error
    return parse_platform(document, str(path), lines)


def parse_platform(
    document: object, where: str = "platform", lines: Lines | None = None
) -> Platform:
    """Turn a platform document, already read, into a `Platform`; errors name `where`."""
    root = Section(document, where, lines or {})
    nodes = {s.name: _node(s) for s in root.sections("nodes")}
    if not nodes:
        raise root.error("nodes", "names no node; a cluster has at least one")
    users = {s.name: _user(s) for s in root.sections("users")}
    platform = Platform(
        name=root.text("name", "lab"),
        nodes=nodes,
        storages={s.name: _storage(s, nodes) for s in root.sections("storages")},
        guests=tuple(
            [g for s in root.sections("templates") for g in _templates(s, nodes)]
            + [_guest(s, nodes) for s in root.sections("vms")]
        ),
        files=tuple(_file(s, nodes) for s in root.sections("files")),
        users=users,
        pools=root.texts("pools"),
        ssh=root.flag("ssh", default=False),
        nameservers=root.texts("nameservers"),
        latency=Latency(**_seconds(root.section("latency"), Latency)),
        timing=Timing(**_seconds(root.section("timing"), Timing)),
    )
    root.finish()
    _unique_vmids(platform, root)
    return platform


def _node(section: Section) -> Node:
    return Node(
        name=section.name,
        threads=section.whole("threads", 4),
        memory_mib=section.whole("memory", 16384),
        cpu=section.text("cpu", "Intel(R) Xeon(R) Processor"),
        address=section.text("address", "127.0.0.1"),
        bridges=section.texts("bridges", ("vmbr0",)),
    )


def _known(section: Section, key: str, nodes: Mapping[str, Node]) -> tuple[str, ...]:
    names = section.texts(key)
    for name in names:
        if name not in nodes:
            raise section.error(key, f"names '{name}', which is no node of the platform")
    return names


def _storage(section: Section, nodes: Mapping[str, Node]) -> Storage:
    kind = section.text("type")
    if kind not in ("dir", "lvmthin"):
        raise section.error("type", "must be dir or lvmthin")
    return Storage(
        name=section.name,
        type="dir" if kind == "dir" else "lvmthin",
        content=section.texts("content", ("images",)),
        path=section.text("path", _DEFAULT_PATH[kind].format(section.name)),
        size_bytes=section.size("size"),
        nodes=_known(section, "nodes", nodes),
        shared=section.flag("shared", default=False),
    )


def _vmid(section: Section, key: str) -> int:
    vmid = section.whole(key)
    if vmid < _LOWEST_VMID:
        raise section.error(key, f"must be at least {_LOWEST_VMID}")
    return vmid


def _templates(section: Section, nodes: Mapping[str, Node]) -> Iterator[Guest]:
    config = section.options("config")
    placed = section.section("vmids")
    for node in nodes:
        if node in placed:
            vmid = _vmid(placed, node)
            yield Guest(section.name, node, vmid, config, template=True)
    placed.finish()


def _guest(section: Section, nodes: Mapping[str, Node]) -> Guest:
    node = section.text("node")
    if node not in nodes:
        raise section.error("node", f"names '{node}', which is no node of the platform")
    return Guest(
        name=section.name,
        node=node,
        vmid=_vmid(section, "vmid"),
        config=section.options("config"),
        running=section.flag("running", default=False),
    )


def _file(section: Section, nodes: Mapping[str, Node]) -> File:
    return File(section.name, section.size("size"), _known(section, "nodes", nodes))


def _user(section: Section) -> User:
    if "@" not in section.name:
        raise section.error(None, "is no user; write user@realm, such as root@pam")
    tokens = tuple(
        Token(token.name, token.flag("privsep", default=False))
        for token in section.sections("tokens")
    )
    return User(section.name, section.flag("admin", default=True), tokens)


def _seconds(section: Section, kind: type[Latency] | type[Timing]) -> dict[str, float]:
    defaults = kind()
    found = {f.name: section.seconds(f.name, getattr(defaults, f.name)) for f in fields(kind)}
    section.finish()
    return found


def _unique_vmids(platform: Platform, root: Section) -> None:
    seen: dict[int, str] = {}
    for guest in platform.guests:
        if guest.vmid in seen:
            place = "templates" if guest.template else "vms"
            raise root.section(place).error(
                guest.name, f"takes VMID {guest.vmid}, which '{seen[guest.vmid]}' has already"
            )
        seen[guest.vmid] = guest.name
