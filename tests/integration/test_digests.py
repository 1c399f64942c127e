"""Every write to a configuration says which configuration it was planned against."""

from pathlib import Path

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
    # The template's drive is in the way of the own one, and the size is that of a VM of this run.
    assert writes(site) == [("config", True), ("config", True), ("resize", False)]

    changed = vm(0) | {"cores": 1, "target_node": "node01"}
    disk, drive = vm(0)["disks"]
    site.define(changed | {"disks": [{**disk, "size": "9G", "storage": "slowdata"}, drive]})
    updated = site.run("apply", "--yes")
    assert updated.returncode == 0, updated.stdout + updated.stderr
    found = writes(site)
    assert {name for name, _ in found} == {"config", "resize", "move_disk"}
    assert all(carried for _, carried in found), found
