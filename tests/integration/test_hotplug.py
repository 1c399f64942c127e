"""What reaches a running VM at once, and what its restart is for: as far as `hotplug` allows."""

from pathlib import Path
from typing import Any

from apply_site import Site, make_site, vm
from proxmox_lab import StartEndpoint


def reboots(site: Site) -> int:
    return sum(write.endswith("/status/reboot") for write in site.writes())


def change(site: Site, **keys: Any) -> int:
    """Apply a changed definition; return how often the VM was rebooted."""
    site.define({**vm(0), **keys})
    site.endpoint.forget_requests()
    applied = site.run("apply", "--yes")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    count = reboots(site)
    row = next(row for row in site.vms() if row["name"] == "k8s-0")
    path = f"/nodes/{row['node']}/qemu/{row['vmid']}"
    waiting = [r["key"] for r in site.endpoint.call("GET", f"{path}/pending") if "pending" in r]
    assert waiting == []
    return count


def test_a_vm_is_rebooted_only_for_what_cannot_be_plugged(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    assert site.run("apply", "--yes").returncode == 0
    cards: dict[str, Any] = {"network": None, "networks": [{"bridge": "vmbr0"}] * 2}

    assert change(site, hotplug=[], **cards) == 0
    one_more = {"network": None, "networks": [{"bridge": "vmbr0"}] * 3}
    assert change(site, hotplug=[], **one_more) == 1
    plugged = {"hotplug": ["network", "memory"], "numa": True, **one_more}
    assert change(site, **plugged) == 1
    assert change(site, memory=2048, **plugged) == 0
    assert change(site, memory=1024, **plugged) == 1
    plugged["hotplug"] = ["network", "memory", "usb"]
    assert change(site, **plugged) == 1
    assert change(site, **plugged | {"hotplug": ["network", "cpu"]}) == 1
    assert change(site, **plugged | {"hotplug": ["network"]}) == 1
    assert change(site, **plugged | {"hotplug": ["disk"]}) == 0
    assert site.run("plan").returncode == 0


def test_what_may_be_plugged_is_what_the_vm_was_started_with(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    memory = vm(0) | {"hotplug": ["memory"], "numa": True, "automatic_reboot": False}
    site.define(memory)
    assert site.run("apply", "--yes").returncode == 0
    later = memory | {"hotplug": ["network"]}
    site.define(later)
    assert "hotplug memory → network (waits for a restart)" in site.run("apply", "--yes").stdout

    cards = {"network": None, "networks": [{"bridge": "vmbr0"}] * 2}
    site.define(later | {"memory": 2048, **cards})
    added = site.run("apply", "--yes")

    assert "memory 1024 → 2048, net1 virtio on vmbr0 added (waits for a restart)" in added.stdout


def test_a_usb_device_is_plugged_as_the_guest_that_runs_allows(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    running = vm(0) | {"ostype": "other", "automatic_reboot": False}
    site.define(running)
    assert site.run("apply", "--yes").returncode == 0
    site.define(running | {"ostype": "l26"})
    assert site.run("apply", "--yes").returncode == 0

    site.define(running | {"ostype": "l26", "usb0": "spice"})
    added = site.run("apply", "--yes")

    assert "usb0 host=spice added (waits for a restart)" in added.stdout, added.stderr


def test_a_disk_with_an_option_that_waits_moves_after_the_restart(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    """What waits names the old volume: a restart after the move would put that back."""
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    second = {"slot": "scsi1", "storage": "data2", "size": "2G"}
    running = vm(2) | {"disks": [*vm(2)["disks"], second]}
    site.define(running)
    assert site.run("apply", "--yes").returncode == 0

    disks = [*vm(2)["disks"], second | {"discard": True, "storage": "local-lvm", "size": "3G"}]
    site.define(running | {"disks": disks})
    moved = site.run("apply", "--yes")

    assert moved.returncode == 0, moved.stdout
    assert "update: configure, reboot, move-disk, grow" in moved.stdout
    config = site.config("k8s-2")
    there = [v["volid"] for v in content(site, "local-lvm")]
    volume = config["scsi1"].partition(",")[0]
    assert volume.startswith("local-lvm:"), config["scsi1"]
    assert volume in there
    assert content(site, "data2") == []
    assert "unused0" not in config
    assert site.run("plan").returncode == 0


def test_a_disk_moves_beside_an_option_that_is_written_down_at_once(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    """The guest sees a serial number after its restart, but nothing of it is pending."""
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    second = {"slot": "scsi1", "storage": "data2", "size": "2G"}
    running = vm(2) | {"automatic_reboot": False, "disks": [*vm(2)["disks"], second]}
    site.define(running)
    assert site.run("apply", "--yes").returncode == 0

    disks = [*vm(2)["disks"], second | {"serial": "S1", "storage": "local-lvm"}]
    site.define(running | {"disks": disks})
    moved = site.run("apply", "--yes")

    assert moved.returncode == 0, moved.stdout + moved.stderr
    assert "update: configure, move-disk" in moved.stdout
    assert site.config("k8s-2")["scsi1"].startswith("local-lvm:")
    assert site.run("plan").returncode == 0


def content(site: Site, storage: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.endpoint.call(
        "GET", f"/nodes/node03/storage/{storage}/content", content="images"
    )
    return found
