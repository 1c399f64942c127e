"""Texts made to harm: nested without measure, or blown up by aliases. Every reader refuses them."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stackyard.addresses.document import parse as parse_allocations
from stackyard.definitions.document import DocumentError, read_document
from stackyard.definitions.load import parse_vm
from stackyard.definitions.nesting import DEEPEST
from stackyard.errors import StackyardError
from stackyard.fleet import load_site
from stackyard.kubeconfig.document import parse as parse_kubeconfig
from stackyard.lab.platform_file import load_platform
from stackyard.secrets.encrypted import check_encrypted
from stackyard.secrets.rules import parse_rules
from stackyard.secrets.tree import read_entries
from stackyard.stores import sopsfile

SECONDS = 5
SIZE = 200_000
DEEP = {
    "brackets": "[" * SIZE,
    "braces": "{a: " * (SIZE // 4),
    "dashes": "- " * (SIZE // 2),
    "question-marks": "? " * (SIZE // 2),
    "indentation": "".join(f"{' ' * level}a:\n" for level in range(600)),
    "further-down": "name: a\nmore: b\nx: " + "[" * SIZE,
}
LAUGHS = "a0: &a0 {x: 1, y: 2}\n" + "".join(
    f"a{number}: &a{number} {{{', '.join(f'{key}: *a{number - 1}' for key in 'pqrstuvwx')}}}\n"
    for number in range(1, 10)
)


def site(text: str, folder: Path) -> None:
    (folder / "inventory").mkdir()
    (folder / "inventory" / "site.yml").write_text(text)
    load_site(folder)


def platform(text: str, folder: Path) -> None:
    (folder / "platform.yaml").write_text(text)
    load_platform(folder / "platform.yaml")


def encrypted(text: str, _folder: Path) -> None:
    for line, sentence in check_encrypted(text, "secret.yaml"):
        raise StackyardError(f"{line}: {sentence}")


READERS: dict[str, Callable[[str, Path], object]] = {
    "definition": lambda text, _: parse_vm(text),
    "site": site,
    "kubeconfig": lambda text, _: parse_kubeconfig(text),
    "allocations": lambda text, _: parse_allocations(text),
    "secrets": lambda text, _: read_entries(text, "secret.yaml"),
    "rules": lambda text, _: parse_rules(text, ".sops.yaml"),
    "encrypted": encrypted,
    "sops": lambda text, folder: sopsfile.parse(folder, text),
    "platform": platform,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", DEEP)
def test_a_text_nested_without_measure_is_refused(text: str, reader: str, tmp_path: Path) -> None:
    began = time.process_time()
    with pytest.raises(Exception, match=r"is nested|is not valid YAML") as caught:
        READERS[reader](DEEP[text], tmp_path)
    assert type(caught.value).__module__.startswith("stackyard.")
    assert len(str(caught.value)) < 200 + len(str(tmp_path))
    assert time.process_time() - began < SECONDS


@pytest.mark.parametrize("reader", READERS)
def test_aliases_that_make_billions_of_values_are_refused(reader: str, tmp_path: Path) -> None:
    began = time.process_time()
    with pytest.raises(Exception, match=r"\w") as caught:
        READERS[reader](LAUGHS, tmp_path)
    assert type(caught.value).__module__.startswith("stackyard.")
    assert time.process_time() - began < SECONDS


def test_the_line_of_what_is_too_deep() -> None:
    text = "name: a\n# a comment\nx: " + "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)
    with pytest.raises(DocumentError) as caught:
        read_document(text)
    assert caught.value.line == 3


def test_what_is_deep_but_not_too_deep_is_read() -> None:
    levels = DEEPEST - 1
    document = read_document("x: " + "[" * levels + "]" * levels + "\n" + "# - ? : [ {\n" * 100)
    value, depth = document["x"], 1
    while value:
        (value,), depth = value, depth + 1
    assert depth == levels
