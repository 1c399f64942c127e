"""An inventory as a file that Ansible reads without any plugin, and that can be committed.

What definitions say is data there too: a text that looks like a template is marked, so that Ansible
never evaluates it. Only the variables of all hosts, which are made here, are templates.
"""

import ast
import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from stackyard.definitions.document import TEXT
from stackyard.inventory.model import Group, Host, Inventory, InventoryError
from stackyard.inventory.templates import is_template, marked, texts_of, unsafe

PLAIN_WORD = re.compile(r"[A-Za-z0-9_./:@+-]+")  # needs no quotes in INI
NEXT_LINE = "\x85"  # a line's end to libyaml, which reads every such end as \n
CONFIGURATION = "plugin"
HEAD = (
    "# Made from the VM definitions by `stackyard inventory export`: edit those, not this file.\n"
)


class _Unsafe(str):
    """A text that Ansible must not evaluate."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, _data: Any) -> bool:
        """Write everything out: an anchor would only puzzle readers of a diff."""
        return True


def _unsafe(dumper: _Dumper, text: _Unsafe) -> yaml.Node:
    return dumper.represent_scalar("!unsafe", str(text), style=_style(text) or "'")


def _text(dumper: _Dumper, text: str) -> yaml.Node:
    return dumper.represent_scalar(TEXT, text, style=_style(text))


def _style(text: str) -> str | None:
    """Return the style in which alone a text stays what it is; None where any does."""
    return '"' if NEXT_LINE in text else None


_Dumper.add_representer(_Unsafe, _unsafe)
_Dumper.add_representer(str, _text)


def export_yaml(inventory: Inventory) -> str:
    """Return the inventory as Ansible's YAML."""
    document = _document(inventory, _Unsafe)
    return HEAD + yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000
    )


def export_json(inventory: Inventory) -> str:
    """Return the same as JSON, which Ansible reads as the YAML it is."""
    document = _document(inventory, unsafe)
    return json.dumps(document, indent=2, ensure_ascii=False, default=date_text) + "\n"


def export_ini(inventory: Inventory) -> str:
    """Return the inventory as Ansible's INI.

    Raises:
        InventoryError: a variable cannot be written so: a template, or a number that is none.
    """
    lines = [HEAD]
    lines += [_ini_host(host) for host in inventory.hosts.values()]
    for group in inventory.groups.values():
        lines += ["", f"[{group.name}]", *group.hosts]
        if group.children:
            lines += ["", f"[{group.name}:children]", *group.children]
        if group.variables:
            lines += ["", f"[{group.name}:vars]"]
            lines += [
                f"{name}={_literal(value, f'the group {group.name}', name)}"
                for name, value in group.variables.items()
            ]
    if inventory.variables:
        lines += ["", "[all:vars]"]
        lines += [f"{name}={_plain(value)!r}" for name, value in inventory.variables.items()]
    return "\n".join(lines) + "\n"


FORMATS: Mapping[str, Callable[[Inventory], str]] = {
    "yaml": export_yaml,
    "json": export_json,
    "ini": export_ini,
}


def _document(inventory: Inventory, mark: Callable[[str], Any]) -> dict[str, Any]:
    hosts = {h.name: marked(dict(h.variables), mark) for h in inventory.hosts.values()}
    groups = {g.name: _group(g, mark) for g in inventory.groups.values()}
    # With the key `plugin` at its top, a file is a plugin's configuration to Ansible.
    inner = {CONFIGURATION: groups.pop(CONFIGURATION)} if CONFIGURATION in groups else {}
    content = {"vars": dict(inventory.variables), "hosts": hosts, "children": inner}
    return {"all": {key: value for key, value in content.items() if value}, **groups}


def _group(group: Group, mark: Callable[[str], Any]) -> dict[str, Any]:
    content = {
        "vars": marked(dict(group.variables or {}), mark),
        "hosts": {name: {} for name in group.hosts},
        "children": {name: {} for name in group.children},
    }
    return {key: value for key, value in content.items() if value}


def date_text(value: Any) -> str:
    """Return a date as JSON has it, like Ansible does."""
    if isinstance(value, dt.date):
        return value.isoformat()
    raise TypeError(f"a {type(value).__name__} is no variable")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return date_text(value) if isinstance(value, dt.date) else value


def _ini_host(host: Host) -> str:
    words = [host.name]
    for name, value in host.variables.items():
        literal = _literal(value, f"the host {host.name}", name)
        quoted = literal.replace("\\", "\\\\").replace('"', '\\"')
        words.append(f"{name}={literal}" if PLAIN_WORD.fullmatch(literal) else f'{name}="{quoted}"')
    return " ".join(words)


def _literal(value: Any, whose: str, name: str) -> str:
    """Write a value as the Python literal that Ansible's INI reads it as."""
    plain = _plain(value)
    if isinstance(plain, str) and PLAIN_WORD.fullmatch(plain) and not _is_literal(plain):
        return plain
    text = repr(plain)
    # An INI file has no mark for data, and Ansible takes what is no literal for a text.
    if is_template(text) or any(map(is_template, texts_of(plain))) or not _is_literal(text):
        raise InventoryError(
            f"{name} of {whose} cannot be written as INI: export yaml or json instead"
        )
    return text


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    return True
