"""Every write to a configuration says which configuration it was planned against."""

from pathlib import Path

import pytest
from apply_site import Site, make_site, vm
from proxmox_lab import StartEndpoint


def writes(site: Site) -> list[tuple[str, bool]]:
    """What was written to a configuration since the last look, and whether it carried a digest."""
    found = [
        (request["path"].rpartition("/")[2], "digest" in request["params"])
        for request in site.endpoint.requests()
        if request["method"] != "GET"
    ]
    site.endpoint.forget_requests()
    return [write for write in found if write[0] in ("config", "resize", "move_disk")]


def test_every_write_carries_the_digest(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    made = site.run("apply", "--yes")
    assert made.returncode == 0, made.stdout + made.stderr
    # The template's drive is in the way of the own one.
    assert writes(site) == [("config", True), ("config", True), ("resize", True)]

    changed = vm(0) | {"cores": 1, "target_node": "node01"}
    disk, drive = vm(0)["disks"]
    site.define(changed | {"disks": [{**disk, "size": "9G", "storage": "slowdata"}, drive]})
    updated = site.run("apply", "--yes")
    assert updated.returncode == 0, updated.stdout + updated.stderr
    found = writes(site)
    assert {name for name, _ in found} == {"config", "resize", "move_disk"}
    assert all(carried for _, carried in found), found


@pytest.mark.parametrize("size", ["2G", "3G"])
def test_so_do_those_to_a_clone_with_a_disk_on_another_storage(
    proxmox_endpoint: StartEndpoint, tmp_path: Path, size: str
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    node = "/nodes/node03/qemu"
    disks = {"scsi0": "local-lvm:8", "scsi1": "local-lvm:2"}
    site.endpoint.call("POST", node, vmid=9050, name="two-disks", **disks)
    site.endpoint.call("POST", f"{node}/9050/template")
    site.endpoint.forget_requests()
    disk, drive = vm(2)["disks"]
    second = {**disk, "slot": "scsi1", "storage": "data2", "size": size}
    site.define(vm(2) | {"clone": "two-disks", "disks": [disk, second, drive]})

    made = site.run("apply", "--yes")

    assert made.returncode == 0, made.stdout + made.stderr
    resize = [("resize", True)] if size != "2G" else []
    assert writes(site) == [("config", True), ("move_disk", True), *resize]
    assert site.config("k8s-2")["scsi1"].startswith("data2:")
