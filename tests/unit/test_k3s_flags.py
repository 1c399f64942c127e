"""Where the stand-in's settings come from, and which join tokens it understands."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stackyard.lab.assets.k3s import flags, tables, tokens
from stackyard.lab.assets.k3s.log import FatalError

HASH = "a" * 64


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("node-name: file\ntls-san:\n- one\n")
    return path


def test_the_command_line_is_above_the_file_and_that_above_the_environment(config: Path) -> None:
    environ = {"K3S_CONFIG_FILE": str(config), "K3S_NODE_NAME": "environment", "K3S_TOKEN": "t"}

    assert flags.parse("server", [], environ).text("node-name") == "file"
    assert flags.parse("server", ["--node-name=line"], environ).text("node-name") == "line"
    assert flags.parse("server", [], environ).text("token") == "t"


def test_lists_of_file_and_command_line_add_up(config: Path) -> None:
    found = flags.parse("server", ["--tls-san", "two,three", "-c", str(config)], {})

    assert found.several("tls-san") == ["one", "two", "three"]


def test_a_drop_in_replaces_a_key_or_adds_to_it(config: Path) -> None:
    folder = Path(f"{config}.d")
    folder.mkdir()
    (folder / "10.yaml").write_text("tls-san+:\n- two\nnode-name: other\n")

    found = flags.parse("server", [], {"K3S_CONFIG_FILE": str(config)})

    assert found.several("tls-san") == ["one", "two"]
    assert found.text("node-name") == "other"


@pytest.mark.parametrize(
    ("command", "argv", "problem"),
    [
        ("server", ["--nope"], "not defined: -nope"),
        ("agent", ["--tls-san=x"], "not defined: -tls-san"),
        ("server", ["--token"], "flag needs an argument: -token"),
        ("server", ["word"], "unexpected argument word"),
    ],
)
def test_says_what_is_wrong_with_a_command_line(
    command: str, argv: list[str], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(FatalError, match=problem):
        flags.parse(command, argv, {"K3S_CONFIG_FILE": str(tmp_path / "none.yaml")})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("secret", tokens.Token("", "secret")),
        (f"K10{HASH}::server:secret", tokens.Token(HASH, "secret")),
        (f"K10{HASH}::server:with:colons", tokens.Token(HASH, "with:colons")),
    ],
)
def test_understands_tokens(text: str, expected: tokens.Token) -> None:
    assert tokens.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", "K10abc::server:secret", f"K10{HASH}::server", f"K10{HASH}::server:"]
)
def test_refuses_tokens_without_repeating_them(text: str) -> None:
    with pytest.raises(FatalError) as raised:
        tokens.parse(text)
    assert not text or text not in str(raised.value)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0s"), (119, "119s"), (180, "3m"), (3 * 3600, "3h"), (47 * 3600, "47h"), (172800, "2d")],
)
def test_ages_read_as_kubectl_writes_them(seconds: int, expected: str) -> None:
    created = datetime.now(UTC) - timedelta(seconds=seconds)

    assert tables.age(created.isoformat()) == expected
