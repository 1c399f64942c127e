"""Whatever a definition says, Ansible reads an export of it as just that, and evaluates none."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stackyard.definitions.load import DefinitionsError, parse_vm
from stackyard.inventory import InventoryError, build_inventory
from stackyard.inventory.export import FORMATS

HOST = "a-host"
OVERRIDE = "#jinja2:variable_start_string:'[%', variable_end_string:'%]'\n[% 6 * 7 %]"
NASTY = (
    *("{{ 6 * 7 }}", "{% if 1 %}42{% endif %}", "{# 42 #}", OVERRIDE, "{", "}}", "a: {{ b }}"),
    *("!unsafe x", "!vault x", "&a", "*a", "@", "`", "%x", "- a", "? a", "a: b", "a #b", "#a"),
    *("", " a ", "\n", "a\n", "\n\nb", "\t", "\u2028", "\x85", "\ufeff", "é", "😀", "a\\", "\\n"),
    *("'", '"', "'\"", "$(x)", "=", "<<", "null", "None", "~", "yes", "True", "true", "nan", "inf"),
    *("1", "01", "0o7", "0x1f", "1_000", "1e3", "12:30:45", "2026-11-23", ".5", "[a]", "[1]"),
    *("{a: 1}", "__ansible_unsafe", "__ansible_vault", "__ansible_type", "omit", "a=b c=d", "---"),
)
KEYS = st.one_of(st.sampled_from(NASTY), st.text(max_size=4))
SCALARS = st.one_of(
    st.sampled_from(NASTY),
    st.text(max_size=8),
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def as_json(value: Any) -> Any:
    """Return the value as JSON and INI can say it: their dates are texts."""
    return json.loads(json.dumps(value, default=dt.date.isoformat))


@pytest.mark.parametrize("form", FORMATS)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(value=VALUES)
def test_what_is_read_is_what_was_said(value: Any, form: str, tmp_path: Path) -> None:
    variables = {"x": value, "since": "DATE"}
    document = {"name": HOST, "target_node": "n", "variables": variables}
    text = json.dumps(document, ensure_ascii=False).replace('"DATE"', "2026-11-23")
    try:
        said = dict(parse_vm(text).variables)
        exported = FORMATS[form](build_inventory([parse_vm(text)]))
    except (DefinitionsError, InventoryError):
        return  # refused: nothing is exported
    path = tmp_path / f"hosts.{'yml' if form == 'yaml' else form}"
    path.write_text(exported, encoding="utf-8")
    loader = DataLoader()
    found = InventoryManager(loader=loader, sources=[str(path)]).get_host(HOST).get_vars()
    expected = said if form == "yaml" else as_json(said)
    templar = Templar(loader=loader, variables=found)
    for name, one in expected.items():
        for read in (found[name], templar.template(trust_as_template(f"{{{{ {name} }}}}"))):
            assert (read, type_of(read)) == (one, type_of(one))


def type_of(value: Any) -> type:
    """Return the plain type, for 1 is True and 1.0 to Python and to nobody else."""
    kinds = (bool, int, float, str, list, dict, dt.date)
    return next((kind for kind in kinds if isinstance(value, kind)), type(value))


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_next_line_character_is_no_blank(form: str, tmp_path: Path) -> None:
    """A definition has it by an escape alone: written as it is, it is the end of a line."""
    text = f'name: {HOST}\ntarget_node: n\nvariables: {{x: "a\\Nb", y: "{{{{ 6 * 7 }}}}\\Nb"}}\n'
    path = tmp_path / f"hosts.{'yml' if form == 'yaml' else form}"
    path.write_text(FORMATS[form](build_inventory([parse_vm(text)])), encoding="utf-8")
    found = InventoryManager(loader=DataLoader(), sources=[str(path)]).get_host(HOST).get_vars()
    assert (found["x"], found["y"]) == ("a\x85b", "{{ 6 * 7 }}\x85b")
