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


def test_cloud_init_data_waits_until_the_user_has_restarted_the_vm(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    site.define(HELD)
    apply(site)
    changed = {**HELD, "ipconfig0": "ip=192.168.1.99/24,gw=192.168.1.1"}
    site.define(changed)
    apply(site)

    site.endpoint.forget_requests()
    assert "1 waits for a restart" in apply(site)
    assert site.writes() == []
    drift = site.run("drift")
    assert drift.returncode == 2
    assert "k8s-0  cloud-init data is unread" in drift.stdout

    site.define({**vm(1), "ipconfig0": HELD["ipconfig0"]})
    refused = site.run("apply", "--yes")
    assert refused.returncode == 1
    assert "it keeps that until it restarts: restart k8s-0 first" in refused.stdout

    switch(site, "k8s-0", "reboot")
    apply(site)
    assert site.run("drift").stdout == "No drift: 2 VMs as defined.\n"
    assert "keeps" not in site.config("k8s-0")["tags"]


def test_a_restart_that_is_allowed_later_is_made(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    site.define(HELD)
    apply(site)
    changed = {**vm(0), "nameserver": "192.168.1.4"}
    site.define({**changed, "automatic_reboot": False})
    apply(site)
    site.define(changed)
    assert "k8s-0  reboot" in apply(site)
    assert site.run("plan").stdout == "Nothing to do: 1 VM as wanted.\n"
