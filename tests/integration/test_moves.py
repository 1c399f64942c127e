"""A VM that moves to another node while its disks change storages."""

from pathlib import Path

import yaml
from apply_site import SITE, make_site, vm
from proxmox_lab import StartEndpoint

from stackyard.lab.platform_file import EXAMPLE


def test_a_disk_of_a_shared_storage_moves_apart_from_its_vm(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    storages = yaml.safe_load(EXAMPLE.read_text())["storages"]
    storages["nas"] = {"type": "dir", "shared": True, "size": "1T", "content": ["images"]}
    site = make_site(tmp_path / "site", proxmox_endpoint({"storages": storages}), count=0)
    nodes = {
        name: node | {"storages": [*node["storages"], "nas"]}
        for name, node in SITE["nodes"].items()
    }
    (site.path / "inventory" / "site.yml").write_text(yaml.safe_dump({**SITE, "nodes": nodes}))
    second = {"slot": "scsi1", "storage": "nas", "size": "2G"}
    site.define(vm(0) | {"disks": [*vm(0)["disks"], second]})
    assert site.run("apply", "--yes").returncode == 0

    second["storage"] = "local-lvm"
    site.define(vm(0) | {"target_node": "node02", "disks": [*vm(0)["disks"], second]})
    moved = site.run("apply", "--yes")

    assert moved.returncode == 0, moved.stdout + moved.stderr
    assert (
        "moves from node01 to node02 while it runs, scsi1 moves from nas to local-" in moved.stdout
    )
    assert site.config("k8s-0")["scsi1"].startswith("local-lvm:")
    assert site.run("plan").returncode == 0
