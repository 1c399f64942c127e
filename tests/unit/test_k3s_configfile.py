"""The stand-in's reader of config.yaml agrees with a real YAML library on what it accepts."""

import json
import string
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stackyard.lab.assets.k3s import configfile
from stackyard.lab.assets.k3s.log import FatalError

KEYS = st.from_regex(r"k-[a-z0-9-]{0,20}", fullmatch=True)
TEXTS = st.text(string.ascii_letters + string.digits + " .:/@%+,'\"#[]{}&*!|>-_=\\", max_size=30)
SETTINGS = st.dictionaries(
    KEYS, TEXTS | st.lists(TEXTS, min_size=1, max_size=4), min_size=1, max_size=6
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "config.yaml"


@given(settings=SETTINGS)
def test_reads_what_a_yaml_library_writes(settings: dict[str, str | list[str]], file: Path) -> None:
    file.write_text(yaml.safe_dump(settings, width=1000))

    assert configfile.read(file) == settings

    # As the role writes it.
    file.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items()))
    assert configfile.read(file) == settings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("port: 6443\n", {"port": "6443"}),
        ("debug: true # yes\n", {"debug": "true"}),
        ("tls-san:\n- a\n- 'b c'\n", {"tls-san": ["a", "b c"]}),
        ("tls-san:\n  - a\n", {"tls-san": ["a"]}),
        ("disable: [traefik, servicelb]\n", {"disable": ["traefik", "servicelb"]}),
        ("write-kubeconfig-mode: 0600\n", {"write-kubeconfig-mode": "384"}),
        ('write-kubeconfig-mode: "0600"\n', {"write-kubeconfig-mode": "0600"}),
        ("---\n# nothing\n\n", {}),
        ("token: null\n", {"token": ""}),
    ],
)
def test_reads_as_yaml_does(text: str, expected: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)

    assert configfile.read(path) == expected


@pytest.mark.parametrize(
    "text",
    ["a: {b: c}\n", "a: &x 1\n", "a: |\n  text\n", "- a\n", "a: 1\na: 2\n", "a: 'b\n", "a: [b\n"],
)
def test_names_the_line_it_does_not_understand(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("ok: 1\n" + text)

    with pytest.raises(FatalError, match=rf"{path}:[23]: yaml: "):
        configfile.read(path)
