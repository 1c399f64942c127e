"""Which permissions show VMs and pools."""

from typing import Any, cast

import pytest

from stackyard.plan import Observed
from stackyard.proxmox.client import Client
from stackyard.proxmox.errors import ProxmoxError
from stackyard.proxmox.sight import check_sight, shows_pools


class Asked:
    """A client whose token has a privilege here; the value tells whether it holds below."""

    def __init__(self, path: str, below: int, privilege: str) -> None:
        self.answer = {path: {privilege: below}, "/storage": {"Datastore.Audit": 1}}

    def get(self, path: str) -> Any:
        assert path == "/access/permissions"
        return self.answer


def asked(path: str, below: int, privilege: str = "VM.Audit") -> Client:
    return cast("Client", Asked(path, below, privilege))


@pytest.mark.parametrize(
    ("path", "below"), [("/", 1), ("/vms", 1), ("/vms/100", 0), ("/pool/x", 1)]
)
def test_these_show_vms(path: str, below: int) -> None:
    check_sight(asked(path, below), Observed({}))


@pytest.mark.parametrize(("path", "below"), [("/", 0), ("/vms", 0), ("/nodes", 1)])
def test_these_show_none(path: str, below: int) -> None:
    with pytest.raises(ProxmoxError, match=r"lacks the privilege VM\.Audit"):
        check_sight(asked(path, below), Observed({}))


@pytest.mark.parametrize(
    ("path", "below", "shown"),
    [("/", 1, True), ("/pool", 1, True), ("/", 0, False), ("/pool/x", 1, False)],
)
def test_all_pools_are_shown(path: str, below: int, shown: bool) -> None:
    assert shows_pools(asked(path, below, "Pool.Audit")) is shown
