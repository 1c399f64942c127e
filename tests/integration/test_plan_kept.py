"""Plans that are kept, removal, replacement and moves, as a person does them on the lab's API."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from apply_site import SITE, Site, make_site, vm
from in_process import run_here
from proxmox_lab import StartEndpoint

from stackyard.lab.platform_file import EXAMPLE


def disks(*entries: tuple[str, str, str]) -> list[dict[str, Any]]:
    """Disks by slot, storage and size, with the cloud-init drive of every VM here."""
    listed = [
        {"slot": slot, "type": "disk", "storage": storage, "size": size}
        for slot, storage, size in entries
    ]
    return [*listed, {"slot": "ide1", "type": "cdrom", "cloudinit": True, "storage": "local-lvm"}]


def row(site: Site, name: str) -> dict[str, Any]:
    return next(row for row in site.vms() if row["name"] == name)


def path_of(site: Site, name: str) -> str:
    found = row(site, name)
    return f"/nodes/{found['node']}/qemu/{found['vmid']}"


def assert_nothing_is_left(site: Site, *options: str) -> None:
    """The next apply writes nothing."""
    site.endpoint.forget_requests()
    again = site.run("apply", "--yes", *options)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.splitlines()[-1].startswith("Nothing to do")
    assert site.writes() == []


def test_a_kept_plan_is_done_but_for_what_moved(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=4)
    kept, audit = tmp_path / "plan.json", tmp_path / "audit.jsonl"
    assert site.run("apply", "--yes", "--limit", "k8s-[012]").returncode == 0
    site.define(*({**vm(number), "cores": 4} for number in range(3)))
    planned = site.run("plan", "--out", str(kept))
    assert planned.returncode == 2
    assert kept.stat().st_mode & 0o777 == 0o600
    site.endpoint.call("PUT", f"{path_of(site, 'k8s-0')}/config", cores=3)
    stop = site.endpoint.call("POST", f"{path_of(site, 'k8s-1')}/status/stop")
    assert site.endpoint.task(stop) == "OK"
    site.define({**vm(2), "cores": 5}, {**vm(3), "cores": 5})  # no part of the plan

    applied = site.run("apply", str(kept), "--yes", "-v", "--audit", str(audit))

    assert applied.returncode == 3, applied.stdout + applied.stderr
    lines = {line.split()[0]: line for line in applied.stdout.splitlines() if "  " in line}
    assert "its configuration changed since the plan was made; plan again" in lines["k8s-0"]
    assert "it is stopped now, and was running when the plan was made" in lines["k8s-1"]
    assert "2 of 4 VMs are left alone: they, or those that they wait for, moved" in applied.stderr
    cores = {name: site.config(name)["cores"] for name in ("k8s-0", "k8s-1", "k8s-2", "k8s-3")}
    assert cores == {"k8s-0": 3, "k8s-1": 2, "k8s-2": 4, "k8s-3": 2}
    logged = [json.loads(line) for line in audit.read_text().splitlines()]
    written = next(e for e in logged if (e["vm"], e["action"]) == ("k8s-2", "configure"))
    assert (written["before"]["cores"], written["after"]["cores"]) == (2, 4)
    cloned = next(e for e in logged if (e["vm"], e["action"]) == ("k8s-3", "clone"))
    assert cloned["task"][0].startswith("UPID:node01:")
    assert {entry["vm"] for entry in logged} == {"k8s-2", "k8s-3"}
    assert "* k8s-2 ** changed : True" in applied.stderr

    again = site.run("apply", str(kept), "--yes")
    assert again.returncode == 3
    assert "its VMID has been taken by k8s-3 on node01" in again.stdout
    assert "these options cannot change it" in site.run("apply", str(kept), "--prune").stderr


def test_who_waits_for_a_vm_that_moved_is_left_alone_with_it(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site, kept = make_site(tmp_path / "site", proxmox_endpoint(), count=2), tmp_path / "plan.json"
    assert site.run("apply", "--yes").returncode == 0
    given_up = {"ipconfig0": vm(1)["ipconfig0"]}
    site.define({**vm(1), "ipconfig0": vm(3)["ipconfig0"]}, {**vm(2), **given_up})
    assert site.run("plan", "--out", str(kept)).returncode == 2
    site.endpoint.call("PUT", f"{path_of(site, 'k8s-1')}/config", cores=3)

    applied = site.run("apply", str(kept), "--yes")

    assert applied.returncode == 3, applied.stdout + applied.stderr
    assert "not begun: k8s-1 did not get there" in applied.stdout
    assert "2 of 2 VMs are left alone" in applied.stderr


def test_a_kept_plan_that_was_edited_is_refused(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site, kept = make_site(tmp_path / "site", proxmox_endpoint(), count=1), tmp_path / "plan.json"
    assert site.run("plan", "--out", str(kept)).returncode == 2
    document = json.loads(kept.read_text())
    kept.write_text(json.dumps(document))  # laid out anew, with nothing changed
    assert "k8s-0" in site.run("apply", str(kept)).stdout
    document["waves"][0][0]["vmid"] += 1
    kept.write_text(json.dumps(document))

    applied = site.run("apply", str(kept), "--yes")

    assert (applied.returncode, applied.stdout) == (1, "")
    assert "the plan was changed after it was made: make it anew" in applied.stderr
    assert site.writes() == []


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "[" * 100_000, "name: k8s-0"])
def test_what_is_no_plan_is_told_by_its_file(tmp_path: Path, text: str) -> None:
    kept = tmp_path / "plan.json"
    kept.write_text(text)

    applied = run_here(tmp_path, "apply", str(kept), "--yes", environ={})

    assert applied.returncode == 1
    said = f"error: {kept}: this is not a plan: make one with `stackyard plan --out`\n"
    assert (applied.stdout, applied.stderr) == ("", said)


def test_a_plan_that_cannot_be_read_is_told_with_the_reason(tmp_path: Path) -> None:
    reasons = {"missing.json": "cannot be read: No such file or directory"}
    reasons |= {"folder": "cannot be read: Is a directory", "image": "is no plan: it is no text"}
    (tmp_path / "folder").mkdir()
    (tmp_path / "image").write_bytes(b"\xff\xd8\xff")
    for name, reason in reasons.items():
        applied = run_here(tmp_path, "apply", str(tmp_path / name), "--yes", environ={})
        assert (applied.returncode, applied.stdout) == (1, "")
        assert applied.stderr == f"error: {tmp_path / name} {reason}\n"


def test_a_lock_that_comes_and_goes_does_not_spoil_a_kept_plan(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site, kept = make_site(tmp_path / "site", proxmox_endpoint(), count=1), tmp_path / "plan.json"
    assert site.run("apply", "--yes").returncode == 0
    site.define({**vm(0), "cores": 4})
    assert site.run("plan", "--out", str(kept)).returncode == 2
    there = site.endpoint.endpoint.cluster.vms[row(site, "k8s-0")["vmid"]]

    def unlock() -> None:
        del there.config["lock"]
        there.changed()

    there.config["lock"] = "backup"
    there.changed()
    site.endpoint.set_fault("PUT", r"/qemu/\d+/config", meanwhile=unlock)
    applied = site.run("apply", str(kept), "--yes")

    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert site.config("k8s-0")["cores"] == 4
    assert_nothing_is_left(site)


def test_a_renamed_vm_does_not_share_its_address_with_the_old_one(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    assert site.run("apply", "--yes").returncode == 0
    (site.path / "vms" / "k8s-0.yaml").unlink()
    site.define({**vm(0), "name": "renamed"})

    for arguments in (("plan",), ("apply", "--yes", "--limit", "renamed")):
        refused = site.run(*arguments)
        assert refused.returncode == 1
        assert "renamed is to have 192.168.1.20, which k8s-0 (VM" in refused.stdout
        assert "or `stackyard destroy k8s-0` removes it with its disks" in refused.stdout
    site.endpoint.forget_requests()
    pruned = site.run("apply", "--yes", "--prune")

    assert pruned.returncode == 0, pruned.stdout + pruned.stderr
    assert {row["name"] for row in site.vms()} == {"legacy", "renamed"}
    order = [write.partition(" /nodes/")[0] for write in site.writes() if "/status/" not in write]
    assert order.index("DELETE") == 0
    assert_nothing_is_left(site)


def test_vms_move_and_disks_move_and_leave(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    first = disks(("scsi0", "local-lvm", "8G"), ("scsi1", "slowdata", "2G"))
    site.define({**vm(0), "disks": first})
    assert site.run("apply", "--yes").returncode == 0
    moved = disks(("scsi0", "data2", "9G"), ("scsi1", "local-lvm", "2G"), ("scsi2", "data2", "1G"))
    site.define({**vm(0), "target_node": "node03", "disks": moved})

    apply = site.run("apply", "--yes")

    assert apply.returncode == 0, apply.stdout + apply.stderr
    assert row(site, "k8s-0")["node"] == "node03"
    assert row(site, "k8s-0")["status"] == "running"
    config = site.config("k8s-0")
    assert config["scsi0"].startswith("data2:")
    assert "size=9G" in config["scsi0"]
    assert config["scsi1"].startswith("local-lvm:")
    assert_nothing_is_left(site)

    site.define({**vm(0), "target_node": "node03", "disks": disks(("scsi0", "data2", "9G"))})
    assert "scsi1 is not in the definition and is left alone" in site.run("plan").stdout
    volume = config["scsi1"].partition(",")[0]
    detached = site.run("apply", "--yes", "--detach")
    assert detached.returncode == 0, detached.stdout + detached.stderr
    config = site.config("k8s-0")
    assert volume in (config["unused0"], config["unused1"])
    assert not {"scsi1", "scsi2"} & config.keys()

    site.define({**vm(0), "target_node": "node03", "disks": moved[:1] + moved[2:]})
    assert site.run("apply", "--yes").returncode == 0
    lost = site.config("k8s-0")["scsi2"].partition(",")[0]
    site.define({**vm(0), "target_node": "node03", "disks": disks(("scsi0", "data2", "9G"))})
    erased = site.run("apply", "--yes", "--allow-data-loss")
    assert erased.returncode == 0, erased.stdout + erased.stderr
    content = site.endpoint.call("GET", "/nodes/node03/storage/data2/content")
    assert lost not in {volume["volid"] for volume in content}
    assert_nothing_is_left(site, "--allow-data-loss")


def test_addresses_are_not_exchanged_with_a_vm_that_is_left_alone(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site, kept = make_site(tmp_path / "site", proxmox_endpoint(), count=2), tmp_path / "plan.json"
    of_site, environ = ("--site", str(site.path)), site.endpoint.environ
    made = run_here(site.path, "apply", "--yes", *of_site, environ=environ)
    assert made.returncode == 0, made.stdout + made.stderr
    one, other = vm(0)["ipconfig0"], vm(1)["ipconfig0"]
    site.define({**vm(0), "ipconfig0": other}, {**vm(1), "ipconfig0": one})
    planned = run_here(site.path, "plan", "--out", str(kept), *of_site, environ=environ)
    assert planned.returncode == 2
    site.endpoint.call("PUT", f"{path_of(site, 'k8s-0')}/config", description="somebody's")

    applied = run_here(site.path, "apply", str(kept), "--yes", *of_site, environ=environ)

    assert "not begun: k8s-0 did not get there" in applied.stdout
    assert applied.returncode != 0
    assert [site.config(name)["ipconfig0"] for name in ("k8s-0", "k8s-1")] == [one, other]


def test_a_clone_of_a_protected_template_gets_its_own_drives(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    row = next(r for r in site.endpoint.call("GET", "/nodes/node01/qemu") if r.get("template"))
    template = f"/nodes/node01/qemu/{row['vmid']}/config"
    site.endpoint.call("PUT", template, protection=1)
    of_site, environ = ("--site", str(site.path)), site.endpoint.environ

    made = run_here(site.path, "apply", "--yes", *of_site, environ=environ)

    assert made.returncode == 0, made.stdout + made.stderr
    config = site.config("k8s-0")
    assert "cloudinit" in config["ide1"]
    assert config["protection"] == 1
    assert run_here(site.path, "plan", *of_site, environ=environ).returncode == 0


def test_a_disk_that_cannot_be_unplugged_is_deleted_with_a_reboot(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    more = ("scsi0", "local-lvm", "8G"), ("sata1", "local-lvm", "2G")
    site.define({**vm(0), "disks": disks(*more)})
    site_of = (site.path, "apply", "--yes", "--site", str(site.path))
    environ = site.endpoint.environ
    assert run_here(*site_of, environ=environ).returncode == 0
    volume = site.config("k8s-0")["sata1"].partition(",")[0]
    site.define({**vm(0), "automatic_reboot": False})

    held = run_here(*site_of, "--allow-data-loss", environ=environ)

    assert held.returncode == 0, held.stdout + held.stderr
    assert "k8s-0: changes wait for a restart" in held.stdout
    site.define(vm(0))
    done = run_here(*site_of, "--allow-data-loss", environ=environ)
    assert "sata1 is pending already, reboot" in done.stdout
    content = site.endpoint.call("GET", "/nodes/node01/storage/local-lvm/content")
    assert volume not in {row["volid"] for row in content}
    assert volume not in site.config("k8s-0").values()
    assert_nothing_is_left(site, "--allow-data-loss")


def test_what_is_pruned_frees_its_vmid_and_what_is_replaced_is_new(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=3)
    site.define({**vm(0), "vmid": 700}, {**vm(1), "protection": True})
    assert site.run("apply", "--yes").returncode == 0
    for number in (0, 1):
        (site.path / "vms" / f"k8s-{number}.yaml").unlink()
    site.define({**vm(4), "vmid": 700})
    smaller = vm(2)
    smaller["disks"][0]["size"] = "4G"
    site.define(smaller)

    refused = site.run("plan")
    assert refused.returncode == 1
    assert "the VMID 700 of k8s-4 belongs to k8s-0 on node01" in refused.stdout
    assert "scsi0 has 8G and cannot shrink to 4G" in refused.stdout
    page = site.run("plan", "--prune", "--replace", "k8s-2", "--markdown")
    assert page.returncode == 2
    assert page.stdout.startswith("### stackyard plan\n")
    assert "| ± | k8s\\-2 |" in page.stdout
    assert "**Wave 2 of 2**" in page.stdout

    agreed = site.run("apply", "--yes", "--prune", "--replace", "k8s-2")

    assert agreed.returncode == 0, agreed.stdout + agreed.stderr
    assert [row["name"] for row in site.vms()] == ["k8s-1", "k8s-2", "k8s-4", "legacy"]
    assert row(site, "k8s-4")["vmid"] == 700
    assert "size=4G" in site.config("k8s-2")["scsi0"]
    assert "but it is protected: it is left alone" in agreed.stdout
    assert_nothing_is_left(site, "--prune")


def test_a_template_and_its_clone_in_one_apply(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    base = {**vm(0), "name": "base", "template": True, "full_clone": True}
    base.pop("vm_state")
    base.pop("ipconfig0")
    linked = {**vm(0), "clone": "base", "full_clone": False}
    large = {"name": "large", "ipconfig0": "ip=192.168.1.30/24"}
    site.define(base, linked, {**linked, **large, "disks": disks(("scsi0", "local-lvm", "12G"))})
    site.define({**vm(3), "full_clone": False})  # of a template that is smaller

    applied = site.run("apply", "--yes")

    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert row(site, "k8s-0")["status"] == "running"
    assert "size=12G" in site.config("large")["scsi0"]
    assert "size=8G" in site.config("k8s-3")["scsi0"]
    assert_nothing_is_left(site)


def test_what_does_not_fit_is_refused_before_anything_begins(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    (site.path / "inventory" / "site.yml").unlink()
    site.define({**vm(1), "cores": 5, "sockets": 2}, {**vm(2), "memory": 200000})
    big = disks(("scsi0", "local-lvm", "8G"), ("scsi1", "data2", "3T"), ("scsi2", "nowhere", "1G"))
    tpm = {"storage": "slowdata", "version": "v2.0"}
    site.define({**vm(5), "target_node": "node03", "disks": big, "tpmstate0": tpm})

    refused = site.run("apply", "--yes")

    assert refused.returncode == 1
    said = refused.stdout
    assert "k8s-1 asks for 10 CPUs, but node02 has 8" in said
    assert "k8s-2 asks for 200000 MiB of memory, but node03 has 131072" in said
    assert "k8s-5 asks for a disk of 3T on data2 on node03, which has 2048 GiB in all" in said
    assert "k8s-5 is to have scsi2 on nowhere, which node03 does not have for disks" in said
    assert "k8s-5 is to have tpmstate0 on slowdata, which node03 does not have" in said
    assert site.writes() == []


def test_a_vm_moves_without_its_cd_alone(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    platform = yaml.safe_load(EXAMPLE.read_text())
    platform["storages"]["nfs"] = {"type": "dir", "size": "1T", "content": ["iso"], "shared": True}
    platform["files"]["nfs:iso/talos.iso"] = {"size": "96M"}
    site = make_site(tmp_path / "site", proxmox_endpoint(base=platform), count=0)
    nodes = {
        name: {**node, "storages": [*node["storages"], "nfs"]}
        for name, node in SITE["nodes"].items()
    }
    (site.path / "inventory" / "site.yml").write_text(yaml.safe_dump({**SITE, "nodes": nodes}))
    usual = disks(("scsi0", "local-lvm", "8G"))

    def define(iso: str, node: str) -> None:
        drive = {"slot": "sata4", "type": "cdrom", "iso": iso}
        site.define({**vm(0), "target_node": node, "disks": [*usual, drive]})

    define("local:iso/talos.iso", "node01")
    assert site.run("apply", "--yes").returncode == 0
    define("local:iso/talos.iso", "node02")
    site.endpoint.forget_requests()
    refused = site.run("apply", "--yes")
    assert refused.returncode == 1
    assert "cannot move from node01 to node02 with local:iso/talos.iso in sata4" in refused.stdout
    assert site.writes() == []

    for iso in ("none", "nfs:iso/talos.iso"):
        define(iso, "node02")
        applied = site.run("apply", "--yes")
        assert applied.returncode == 0, applied.stdout + applied.stderr
    define("nfs:iso/talos.iso", "node03")
    applied = site.run("apply", "--yes")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert row(site, "k8s-0")["node"] == "node03"
    assert_nothing_is_left(site)


def test_a_card_and_an_address_that_a_definition_lost_leave_the_vm(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    two = {key: value for key, value in vm(0).items() if key != "network"}
    cards = [{"bridge": "vmbr0", "model": "virtio"}, {"bridge": "vmbr0", "model": "virtio"}]
    site.define({**two, "networks": cards, "ipconfig1": "ip=192.168.1.21/24"})
    assert site.run("apply", "--yes").returncode == 0
    site.define(vm(0), vm(1))  # k8s-1 has that address

    refused = site.run("plan")
    assert refused.returncode == 1
    assert (
        "net1 is not in the definition and is left alone: --detach takes it off" in refused.stdout
    )
    assert "`stackyard apply --detach --limit k8s-0` takes ipconfig1 off first" in refused.stdout
    assert site.run("apply", "--yes", "--detach", "--limit", "k8s-0").returncode == 0
    assert site.config("k8s-0").keys().isdisjoint({"net1", "ipconfig1"})
    applied = site.run("apply", "--yes")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert_nothing_is_left(site)
