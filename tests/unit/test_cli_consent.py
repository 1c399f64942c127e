"""Flags that contradict each other are refused as a command line that makes no sense."""

import pytest
import typer
from typer.testing import CliRunner

from stackyard.cli.consent import consent
from stackyard.cli.main import app
from stackyard.plan import Consent


def test_nothing_is_agreed_to_without_a_flag() -> None:
    assert consent(None, prune=False, detach=False, data_loss=False, limit="k8s-*") == Consent()


def test_each_flag_agrees_to_its_own() -> None:
    assert consent(["a", "b"], prune=True, detach=True, data_loss=False, limit=None) == Consent(
        frozenset({"a", "b"}), prune=True, extra="detach"
    )
    erase = consent(None, prune=False, detach=False, data_loss=True, limit=None)
    assert erase == Consent(extra="erase")


@pytest.mark.parametrize(
    ("detach", "data_loss", "limit", "said"),
    [(True, True, None, "--detach keeps disks"), (False, False, "k8s-*", "--prune looks at")],
)
def test_what_contradicts_itself(
    detach: bool, data_loss: bool, limit: str | None, said: str
) -> None:
    with pytest.raises(typer.BadParameter, match=said):
        consent(None, prune=True, detach=detach, data_loss=data_loss, limit=limit)


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "--json", "--markdown"],
        ["plan", "--rest", "rest.md"],
        ["apply", "plan.json", "--prune"],
        ["import"],
        ["import", "a", "--vmid", "100"],
    ],
)
def test_options_that_make_no_sense_reach_no_proxmox(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "Invalid value" in result.output
