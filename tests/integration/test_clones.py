"""A clone keeps the disks that it was cloned with, whatever the definition says of them."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from apply_site import make_site, vm
from proxmox_lab import StartEndpoint

from stackyard.lab.platform_file import EXAMPLE

TWO_DISKS = {"scsi0": "local-lvm:3", "scsi1": "local-lvm:2"}


def platform_of(**config: str) -> dict[str, Any]:
    """The example's, its template with other options."""
    document = yaml.safe_load(EXAMPLE.read_text())
    document["templates"]["ubuntu24-template"]["config"] |= config
    return {key: document[key] for key in ("templates", "storages")}


@pytest.mark.parametrize("full", [True, False])
def test_an_option_of_a_cloned_disk_does_not_make_it_a_blank_one(
    proxmox_endpoint: StartEndpoint, tmp_path: Path, full: bool
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    (disk, drive) = vm(0)["disks"]
    site.define(vm(0) | {"full_clone": full, "disks": [disk | {"discard": True}, drive]})

    applied = site.run("apply", "--yes")

    assert applied.returncode == 0, applied.stdout + applied.stderr
    (row,) = (row for row in site.vms() if row["name"] == "k8s-0")
    config = site.config("k8s-0")
    assert config["scsi0"] == f"local-lvm:vm-{row['vmid']}-disk-0,discard=on,size=8G"
    assert not {key for key in config if key.startswith("unused")}
    assert site.run("plan").returncode == 0


@pytest.mark.parametrize("full", [True, False])
def test_a_disk_of_the_template_is_erased_from_its_clone_alone(
    proxmox_endpoint: StartEndpoint, tmp_path: Path, full: bool
) -> None:
    endpoint = proxmox_endpoint(platform_of(**TWO_DISKS))
    site = make_site(tmp_path / "site", endpoint, count=0)
    site.define(vm(0) | {"full_clone": full})

    applied = site.run("apply", "--yes", "--allow-data-loss")

    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert not {"scsi1", "unused0"} & site.config("k8s-0").keys()
    assert "scsi1" in endpoint.call("GET", "/nodes/node01/qemu/9001/config")
    assert site.run("plan", "--allow-data-loss").returncode == 0


def test_the_disk_that_an_older_template_boots_from_is_not_erased_from_its_clone(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    platform = platform_of(**TWO_DISKS, boot="c", bootdisk="scsi0")
    site = make_site(tmp_path / "site", proxmox_endpoint(platform), count=0)
    silent = {key: value for key, value in vm(0).items() if key != "boot"}
    site.define(silent | {"disks": [{"slot": "scsi1", "storage": "local-lvm", "size": "8G"}]})

    applied = site.run("apply", "--yes", "--allow-data-loss")

    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert "size=3G" in site.config("k8s-0")["scsi0"]
    assert site.run("plan", "--allow-data-loss").returncode == 0


@pytest.mark.parametrize(
    ("there", "wanted", "form"), [("files", "local-lvm", "raw"), ("local-lvm", "files", "qcow2")]
)
def test_all_disks_are_copied_in_the_format_that_one_is_wanted_in(
    proxmox_endpoint: StartEndpoint, tmp_path: Path, there: str, wanted: str, form: str
) -> None:
    ending = ",format=qcow2" if there == "files" else ""
    platform = platform_of(scsi0=f"{there}:3{ending}", scsi1=f"{there}:2{ending}")
    platform["storages"]["files"] = {"type": "dir", "size": "1T", "content": ["images"]}
    site = make_site(tmp_path / "site", proxmox_endpoint(platform), count=0)
    (site.path / "inventory" / "site.yml").unlink()  # its nodes have no such storage
    disk = {"storage": wanted, "size": "8G"}
    site.define(
        vm(0) | {"disks": [{"slot": "scsi0"} | disk, {"slot": "scsi1", "format": form} | disk]}
    )

    applied = site.run("apply", "--yes")

    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert "move-disk" not in applied.stdout
    assert site.run("plan").returncode == 0


def test_an_efi_disk_is_copied_in_the_format_of_the_others(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    efi = {"bios": "ovmf", "efidisk0": "files:1,format=raw"}
    platform = platform_of(scsi0="files:3,format=raw", **efi)
    platform["storages"]["files"] = {"type": "dir", "size": "1T", "content": ["images"]}
    site = make_site(tmp_path / "site", proxmox_endpoint(platform), count=0)
    (site.path / "inventory" / "site.yml").unlink()  # its nodes have no such storage
    disk = {"slot": "scsi0", "storage": "files", "size": "8G", "format": "qcow2"}
    efidisk = {"storage": "files", "format": "raw"}

    site.define(vm(0) | {"disks": [disk], "efidisk0": efidisk})
    assert "efidisk0 has format qcow2, not raw" in site.run("plan").stdout
    site.define(vm(0) | {"disks": [disk], "efidisk0": efidisk | {"format": "qcow2"}})
    applied = site.run("apply", "--yes")

    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert ".qcow2" in site.config("k8s-0")["efidisk0"]
    assert site.run("plan").returncode == 0
