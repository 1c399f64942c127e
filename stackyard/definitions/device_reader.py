"""Serial ports and the devices of `stackyard.definitions.device_keys`, read from a definition."""

from dataclasses import replace
from typing import Any

from stackyard.definitions.device_keys import FAMILY_OF, SERIAL_KEY, SERIAL_PORTS, Family
from stackyard.definitions.document import Mapping
from stackyard.definitions.hardware import Device
from stackyard.definitions.key_reader import Report, take, take_all
from stackyard.definitions.values import shown

DEVICE_NAMES = tuple(FAMILY_OF)
SERIAL_KEYS = tuple(replace(SERIAL_KEY, name=name) for name in SERIAL_PORTS)


def read_devices(mapping: Mapping, report: Report) -> dict[str, Device]:
    """Return the devices by their keys."""
    found: dict[str, Device] = {}
    for name, value in mapping.items():
        family = FAMILY_OF.get(name)
        if family is None or value is None:
            continue
        device = read_device(name, value, mapping, family, report)
        if device is not None:
            found[name] = device
    return found


def read_device(
    name: str, value: Any, mapping: Mapping, family: Family, report: Report
) -> Device | None:
    """Return a device, from a mapping or from the plain value of its first key; None: mistakes."""
    line = mapping.line_of(name)
    content = _as_mapping(value, family, line)
    if content is None:
        report.add(line, f"{name} must be a mapping, not {shown(value)}")
        return None
    before, where = len(report.problems), f" of {name}"
    taken = take_all(content, family.keys, report, where)
    given = [key for key in family.one_of if content.get(key) is not None]
    if family.one_of and len(given) != 1:
        report.add(line, f"{name} needs one of {' and '.join(family.one_of)}, and not both")
    if all(item is None for item in taken.values()) and len(report.problems) == before:
        report.add(line, f"{name} is empty: leave it out, or give it a key")
    return None if len(report.problems) > before else family.model(**taken)


def _as_mapping(value: Any, family: Family, line: int) -> Mapping | None:
    """Return the mapping, or the one that a plain value stands for."""
    if isinstance(value, Mapping):
        return value
    if not family.first or isinstance(value, list | dict):
        return None
    content = Mapping(line)
    content[family.first] = value
    content.lines[family.first] = line
    return content


def read_serials(mapping: Mapping, report: Report) -> tuple[str | None, ...]:
    """Return the serial ports by number; `serial: true` is the first one."""
    ports: list[str | None] = [take(mapping, key, report) for key in SERIAL_KEYS]
    if mapping.get("serial") in (True, 1) and ports[0] is None:
        ports[0] = "socket"
    while ports and ports[-1] is None:
        ports.pop()
    return tuple(ports)
