"""The boot order of a definition, which Proxmox changes with each CD-ROM drive and removal."""

from pathlib import Path

import pytest
from apply_site import Site, make_site, vm
from proxmox_lab import StartEndpoint

IMAGES = {f"local:iso/{name}.iso": {"size": "1M"} for name in ("talos", "drivers")}
CARD = {"bridge": "vmbr0"}


@pytest.fixture
def site(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> Site:
    return make_site(tmp_path / "site", proxmox_endpoint({"files": IMAGES}), count=1)


def apply(site: Site, *arguments: str) -> str:
    applied = site.run("apply", "--yes", *arguments)
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert site.run("plan").returncode == 0
    return applied.stdout


def with_image(name: str) -> dict[str, object]:
    drive = {"slot": "ide2", "type": "cdrom", "iso": f"local:iso/{name}.iso"}
    return {**vm(0), "disks": [*vm(0)["disks"], drive]}


def test_a_clone_boots_as_defined_though_it_has_a_cd_rom(site: Site) -> None:
    site.define(with_image("talos"))
    apply(site)
    assert site.config("k8s-0")["boot"] == "order=scsi0"


def test_another_image_changes_the_boot_order_of_no_running_vm(site: Site) -> None:
    site.define(with_image("talos"))
    apply(site)
    site.define(with_image("drivers"))

    said = apply(site)

    assert "ide2" in said
    assert "boot" not in said
    assert site.config("k8s-0")["boot"] == "order=scsi0"


def test_a_boot_order_from_a_cd_rom_is_written(site: Site) -> None:
    apply(site)
    site.define({**with_image("talos"), "boot": "order=ide2;scsi0"})
    assert "boot order=scsi0 → order=ide2;scsi0 (needs a reboot)" in apply(site)
    assert site.config("k8s-0")["boot"] == "order=ide2;scsi0"


def test_what_is_booted_from_and_not_there_is_a_problem(site: Site) -> None:
    booted = {**vm(0), "boot": "order=scsi0;net1"}
    site.define(booted)
    site.endpoint.forget_requests()
    absent = site.run("apply", "--yes")
    problem = "boot names net1, which the VM does not have: add it, or take it out of boot"
    assert (absent.returncode, site.writes()) == (1, [])
    assert problem in absent.stdout

    del booted["network"]
    site.define({**booted, "networks": [CARD, CARD]})
    apply(site)
    site.define({**booted, "networks": [CARD]})
    assert problem in site.run("plan", "--detach").stdout
    site.define({**booted, "networks": [CARD], "boot": "order=scsi0"})
    apply(site, "--detach")
    assert "net1" not in site.config("k8s-0")
