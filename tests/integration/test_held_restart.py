"""What waits for a restart that `automatic_reboot: false` leaves to the user."""

from pathlib import Path
from typing import Any

from apply_site import Site, make_site, vm
from proxmox_lab import StartEndpoint

HELD: dict[str, Any] = {**vm(0), "automatic_reboot": False}


def switch(site: Site, name: str, *verbs: str) -> None:
    """Do by hand what a user does in Proxmox."""
    row = next(row for row in site.vms() if row["name"] == name)
    for verb in verbs:
        path = f"/nodes/{row['node']}/qemu/{row['vmid']}/status/{verb}"
        assert site.endpoint.task(site.endpoint.call("POST", path)) == "OK"


def apply(site: Site, *options: str) -> str:
    applied = site.run("apply", "--yes", *options)
    assert applied.returncode == 0, applied.stdout + applied.stderr
    return applied.stdout


def test_a_disk_whose_removal_waits_stays_with_its_data_once_it_is_defined_again(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    data = {"slot": "sata0", "type": "disk", "storage": "local-lvm", "size": "1G"}
    site.define({**HELD, "disks": [*HELD["disks"], data]})
    apply(site)
    volume = site.config("k8s-0")["sata0"]
    site.define(HELD)
    assert "waits for a restart" in apply(site, "--detach")
    site.define({**HELD, "disks": [*HELD["disks"], data]})
    assert "sata0 disk 1G on local-lvm stays after all" in apply(site)
    assert site.run("plan").stdout == "Nothing to do: 1 VM as wanted.\n"

    switch(site, "k8s-0", "stop", "start")
    config = site.config("k8s-0")
    assert config["sata0"] == volume
    assert not [key for key in config if key.startswith("unused")]
