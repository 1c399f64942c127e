"""A token that may see no VM, and a cluster that has none: their lists are the same."""

from pathlib import Path
from typing import Any

import pytest
from apply_site import make_site, vm
from proxmox_lab import StartEndpoint

BARE: dict[str, Any] = {
    key: value for key, value in vm(0).items() if key not in ("clone", "full_clone")
}


@pytest.mark.parametrize(
    "command", [["plan"], ["apply", "--yes"], ["drift"], ["destroy", "k8s-0"], ["ready"]]
)
def test_who_may_see_no_vm_is_told_so(
    command: list[str], proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    tokens = {"full": {}, "blind": {"privsep": True}}
    endpoint = proxmox_endpoint({"users": {"root@pam": {"tokens": tokens}}})
    site = make_site(tmp_path / "site", endpoint, count=0)
    site.define({**BARE, "vmid": 500})
    secret = endpoint.secrets["root@pam!blind"]

    said = site.run(*command, PROXMOX_TOKEN_ID="blind", PROXMOX_TOKEN_SECRET=secret)

    assert (said.returncode, said.stdout) == (1, "")
    assert "Proxmox shows no VM at all, for the token or user lacks the privilege" in said.stderr
    assert site.writes() == []


def test_an_empty_cluster_is_filled(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    endpoint = proxmox_endpoint({"templates": {}, "vms": {}})
    site = make_site(tmp_path / "site", endpoint, count=0)
    site.define(BARE)
    assert site.run("drift").returncode == 2
    applied = site.run("apply", "--yes")
    assert applied.returncode == 0, applied.stdout + applied.stderr
