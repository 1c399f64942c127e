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


def test_a_disk_changes_its_kind_of_storage_with_its_node(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    storages = yaml.safe_load(EXAMPLE.read_text())["storages"]
    storages["files"] = {"type": "dir", "size": "1T", "content": ["images"]}
    site = make_site(tmp_path / "site", proxmox_endpoint({"storages": storages}), count=0)
    nodes = {
        name: node | {"storages": [*node["storages"], "files"]}
        for name, node in SITE["nodes"].items()
    }
    (site.path / "inventory" / "site.yml").write_text(yaml.safe_dump({**SITE, "nodes": nodes}))
    disk, drive = vm(0)["disks"]
    in_a_file = disk | {"storage": "files", "format": "qcow2"}
    site.define(vm(0) | {"disks": [in_a_file, drive]})
    assert site.run("apply", "--yes").returncode == 0

    # Blocks have no format that their names tell, and become raw files.
    in_blocks = [disk | {"format": "raw"}, drive]
    in_files = [in_a_file, drive | {"storage": "files"}]
    for node, disks in (("node02", in_blocks), ("node01", in_files)):
        site.define(vm(0) | {"target_node": node, "disks": disks})
        moved = site.run("apply", "--yes")
        assert moved.returncode == 0, moved.stdout + moved.stderr
        assert site.run("plan").returncode == 0
    assert "scsi0 moves from files to files as qcow2" in moved.stdout
    assert ".qcow2" in site.config("k8s-0")["scsi0"]


def test_an_unused_disk_moves_with_its_vm(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    for number, storage in ((0, "slowdata"), (3, "local-lvm")):
        second = {"slot": "scsi1", "storage": storage, "size": "2G"}
        site.define(vm(number) | {"disks": [*vm(number)["disks"], second]})
    assert site.run("apply", "--yes").returncode == 0
    site.define(vm(0), vm(3))
    assert site.run("apply", "--yes", "--detach").returncode == 0
    assert site.config("k8s-0")["unused0"].startswith("slowdata:")

    site.define(*(vm(number) | {"target_node": "node02"} for number in (0, 3)))
    site.endpoint.forget_requests()
    refused = site.run("apply", "--yes")
    assert (refused.returncode, site.writes()) == (1, [])
    why = "k8s-0 is to have unused0 on slowdata, which node02 does not have for disks"
    assert f"{why} (it has local-lvm): move or remove it in Proxmox first" in refused.stdout

    moved = site.run("apply", "--yes", "--limit", "k8s-3")
    assert moved.returncode == 0, moved.stdout + moved.stderr
    there = site.endpoint.call("GET", "/nodes/node02/storage/local-lvm/content")
    assert site.config("k8s-3")["unused0"] in {volume["volid"] for volume in there}


def test_a_vm_with_a_device_of_its_node_stays_there(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    root = {"PROXMOX_TOKEN_ID": "", "PROXMOX_TOKEN_SECRET": ""}
    root["PROXMOX_PASSWORD"] = site.endpoint.secrets["root@pam"]
    card, stick = {"hostpci0": "0000:01:00.0"}, {"usb1": {"mapping": "stick"}}
    site.define(vm(0) | card, vm(3) | stick | {"usb0": "spice"})
    made = site.run("apply", "--yes", **root)
    assert made.returncode == 0, made.stdout + made.stderr

    site.define(vm(0) | {"target_node": "node02"})
    site.define(vm(3) | {"target_node": "node02"})
    site.endpoint.forget_requests()
    refused = site.run("apply", "--yes")

    assert (refused.returncode, site.writes()) == (1, [])
    stays = "not on node02, and {} node01 through: take it out, or set target_node: node01"
    assert stays.format("hostpci0 passes a device of") in refused.stdout
    assert "usb1 cannot move while the VM runs: shut it down first" in refused.stdout

    replacing = site.run("plan", "--replace", "k8s-0", "--limit", "k8s-0", **root)
    assert "make it anew on node02" in replacing.stdout
    site.define(vm(0), vm(3) | {"target_node": "node02", "vm_state": "stopped"})
    moved = site.run("apply", "--yes")
    assert moved.returncode == 0, moved.stdout + moved.stderr
    assert "shut down, moves from node01 to node02" in moved.stdout
