"""Every key at once, from the definition to Proxmox and back, on the lab's endpoint."""

import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from apply_site import Site, make_site, vm
from proxmox_lab import ProxmoxEndpoint, StartEndpoint
from vault_lab import Vault

EVERYTHING = Path(__file__).parent / "cases" / "attributes" / "everything.yaml"
PASSWORD = secrets.token_hex(16)
PLATFORM: dict[str, Any] = {
    "files": {
        "local:import/debian.qcow2": {"size": "2G"},
        "local:iso/talos.iso": {"size": "96M"},
        "local:iso/cloudinit.iso": {"size": "1M"},
    },
    "pools": ["k8s", "k8s/dev", "other"],
}


def as_root(endpoint: ProxmoxEndpoint) -> dict[str, str]:
    """The variables of root itself, whom no token is."""
    return {
        "PROXMOX_TOKEN_ID": "",
        "PROXMOX_TOKEN_SECRET": "",
        "PROXMOX_PASSWORD": endpoint.secrets["root@pam"],
        "EVERYTHING_PASSWORD": PASSWORD,
    }


@pytest.fixture
def site(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> Site:
    site = make_site(tmp_path / "site", proxmox_endpoint(PLATFORM), count=0)
    (site.path / "vms" / "everything.yaml").write_text(EVERYTHING.read_text())
    return site


def change(site: Site, **keys: Any) -> None:
    path = site.path / "vms" / "everything.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **keys}))


def test_every_key_reaches_proxmox_and_the_second_plan_is_empty(site: Site, tmp_path: Path) -> None:
    root, audit = as_root(site.endpoint), tmp_path / "audit.jsonl"
    made = site.run("apply", "--yes", "--audit", str(audit), **root)
    assert made.returncode == 0, made.stdout + made.stderr

    config = site.config("everything")
    keys = yaml.safe_load(EVERYTHING.read_text())["sshkeys"].strip()
    assert config["sshkeys"] == quote(keys, safe="")
    assert (config["cpu"], config["machine"]) == (
        "x86-64-v3,flags=+aes;-pcid",
        "q35,viommu=virtio,enable-s3=0,enable-s4=0",
    )
    assert (config["cpulimit"], config["tags"]) == (2.5, "k8s;lab;stackyard;stackyard-unconfigured")
    assert config["hostpci1"] == "mapping=gpu"
    assert "size=5G" in config["virtio15"]
    assert {"iops_wr_max_length=7", "mbps_rd=80.5", "discard=on"} < set(config["scsi0"].split(","))
    assert config["net0"].startswith("virtio=BC:24:11:00:00:01,")
    assert {"trunks=20;30-40", "rate=12.5", "link_down=1"} < set(config["net0"].split(","))
    assert [m["vmid"] for m in site.endpoint.call("GET", "/pools/k8s")["members"]] == [4000]
    assert PASSWORD not in made.stdout + made.stderr + audit.read_text()

    site.endpoint.forget_requests()
    again = site.run("apply", "--yes", **root)
    assert again.stdout == "Nothing to do: 1 VM as wanted.\n", again.stdout + again.stderr
    assert site.writes() == ["POST /access/ticket"]


def test_an_image_called_cloudinit_is_a_cd_rom(site: Site) -> None:
    (site.path / "vms" / "everything.yaml").unlink()
    seed = {"slot": "ide2", "type": "cdrom", "iso": "local:iso/cloudinit.iso"}
    site.define({**vm(0), "clone": None, "disks": [*vm(0)["disks"], seed]})

    made = site.run("apply", "--yes")

    assert made.returncode == 0, made.stdout + made.stderr
    assert site.config("k8s-0")["ide2"].startswith("local:iso/cloudinit.iso,")
    assert site.run("plan").returncode == 0


def test_a_vm_with_every_key_is_imported_as_it_is(site: Site) -> None:
    root = as_root(site.endpoint)
    assert site.run("apply", "--yes", **root).returncode == 0
    (site.path / "vms" / "everything.yaml").unlink()
    imported = site.run("import", "everything", **root)
    assert imported.returncode == 0, imported.stderr
    plan = site.run("plan", **root)
    assert (plan.returncode, plan.stdout) == (0, "Nothing to do: 1 VM as wanted.\n"), plan.stderr


def test_changes_of_devices_are_written_and_told(site: Site) -> None:
    root = as_root(site.endpoint)
    assert site.run("apply", "--yes", **root).returncode == 0
    change(
        site,
        pool="other",
        cpu_flags=["+aes"],
        startup={"order": 1},
        vga={"type": "std"},
        hostpci0={"mapping": "gpu2"},
        networks=[{"bridge": "vmbr0", "vlan": 10, "mtu": 1500, "rate": 50}, {"bridge": "vmbr0"}],
    )
    changed = site.run("apply", "--yes", **root)
    assert changed.returncode == 0, changed.stdout + changed.stderr
    assert "cpu_type x86-64-v3 +aes -pcid → x86-64-v3 +aes" in changed.stdout
    assert "pool other added" in changed.stdout
    config = site.config("everything")
    assert config["startup"] == "order=1,up=30,down=60"
    assert config["vga"] == "std,memory=64,clipboard=vnc"
    assert config["hostpci0"].startswith("mapping=gpu2,")
    assert "rate=50" in config["net0"]
    assert "BC:24:11:00:00:01" in config["net0"]
    assert site.run("plan", **root).returncode == 0


def test_an_empty_list_of_cpu_flags_takes_them_off(site: Site) -> None:
    (site.path / "vms" / "everything.yaml").unlink()
    site.define({**vm(0), "cpu_flags": ["+aes"]})
    assert site.run("apply", "--yes").returncode == 0
    site.define({**vm(0), "cpu_flags": []})

    changed = site.run("apply", "--yes")

    assert "cpu_type host +aes → host (needs a reboot)" in changed.stdout, changed.stderr
    assert site.config("k8s-0")["cpu"] == "host"
    assert site.run("plan").returncode == 0


def test_what_a_token_may_not_set_is_said_before_anything_is_written(site: Site) -> None:
    token = {"EVERYTHING_PASSWORD": PASSWORD}
    refused = site.run("apply", "--yes", **token)
    assert refused.returncode == 1
    line = EVERYTHING.read_text().splitlines().index("args: -cpu host,+vmx") + 1
    said = refused.stdout + refused.stderr
    assert (
        f"everything.yaml:{line}: everything: Proxmox takes args from root@pam itself alone, never "
        "from a token: log in as root@pam with PROXMOX_PASSWORD, or take args out" in said
    )
    for key in ("affinity", "hugepages", "hookscript", "serial1", "hostpci0", "usb0", "sata5"):
        assert f"take {key} out" in said, key
    assert site.writes() == []


@pytest.mark.parametrize(
    ("password", "why"), [("", "is not set"), ("h\udce4sh", "is not UTF-8 text")]
)
def test_a_password_that_cannot_be_used_stops_before_anything_is_written(
    site: Site, password: str, why: str
) -> None:
    root = {**as_root(site.endpoint), "EVERYTHING_PASSWORD": password}
    assert site.run("plan", **root).returncode == 2
    refused = site.run("apply", "--yes", **root)
    assert refused.returncode == 1
    said = f"error: cipassword of everything comes from EVERYTHING_PASSWORD, which {why}"
    assert refused.stderr.startswith(said)
    assert set(site.writes()) == {"POST /access/ticket"}


def test_what_cannot_become_of_a_vm_is_a_problem_of_the_plan(site: Site) -> None:
    root = as_root(site.endpoint)
    assert site.run("apply", "--yes", **root).returncode == 0
    change(site, pool="nowhere")
    assert "pool nowhere, which does not exist: make it first" in site.run("plan", **root).stdout
    change(site, pool="k8s", tpmstate0={"storage": "data2", "version": "v1.2"})
    assert "tpmstate0 has version v2.0, not v1.2" in site.run("plan", **root).stdout


def test_a_password_in_vault_is_read_before_anything_is_written(site: Site, vault: Vault) -> None:
    vault.call("POST", "kv/data/vms/everything", {"data": {"OTHER": "x"}})
    change(site, cipassword={"vault": "kv/vms/everything#PASSWORD"})
    root = {**as_root(site.endpoint), **vault.environ}
    missing = site.run("apply", "--yes", **root)
    assert missing.returncode == 1
    assert "kv/vms/everything#PASSWORD in Vault, where there is no such key" in missing.stderr
    assert set(site.writes()) == {"POST /access/ticket"}

    vault.call("POST", "kv/data/vms/everything", {"data": {"PASSWORD": PASSWORD}})
    made = site.run("apply", "--yes", **root)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "cipassword" in site.config("everything")
    assert PASSWORD not in made.stdout + made.stderr
    assert site.run("plan", **root).returncode == 0


def test_a_clone_gets_devices_a_pool_and_a_password_with_a_token(site: Site) -> None:
    (site.path / "vms" / "everything.yaml").unlink()
    site.define(
        {
            **vm(0),
            "pool": "k8s",
            "bios": "ovmf",
            "efidisk0": {"storage": "local-lvm", "efitype": "4m"},
            "hostpci0": {"mapping": "gpu"},
            "cipassword": {"env": "EVERYTHING_PASSWORD"},
            "cpulimit": 1.5,
            "network": {"bridge": "vmbr0", "vlan": 5, "rate": 10},
        }
    )
    token = {"EVERYTHING_PASSWORD": PASSWORD}
    made = site.run("apply", "--yes", **token)
    assert made.returncode == 0, made.stdout + made.stderr
    config = site.config("k8s-0")
    assert config["efidisk0"].startswith("local-lvm:vm-")
    assert (config["hostpci0"], config["cpulimit"]) == ("mapping=gpu", 1.5)
    members = site.endpoint.call("GET", "/pools/k8s")["members"]
    assert [m["vmid"] for m in members] == [r["vmid"] for r in site.vms() if r["name"] == "k8s-0"]
    site.endpoint.forget_requests()
    assert site.run("apply", "--yes").stdout == "Nothing to do: 1 VM as wanted.\n"
    assert site.writes() == []


def test_a_pool_may_be_inside_another_one(site: Site) -> None:
    (site.path / "vms" / "everything.yaml").unlink()
    pools = site.endpoint.endpoint.cluster.pools
    for pool in ("k8s/dev", "other", "k8s/dev"):  # made in it, moved out of it, and back
        site.define({**vm(0), "pool": pool})
        done = site.run("apply", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        assert [name for name, found in pools.items() if found.vmids] == [pool]
    assert site.run("plan").returncode == 0


def test_more_cpu_units_than_the_node_can_give_are_the_most_it_can(site: Site) -> None:
    (site.path / "vms" / "everything.yaml").unlink()
    site.define({**vm(0), "cpuunits": 20000})

    made = site.run("apply", "--yes")

    assert made.returncode == 0, made.stdout + made.stderr
    assert site.config("k8s-0")["cpuunits"] == 10000
    assert site.run("plan").returncode == 0


def test_a_windows_guest_keeps_the_version_of_its_machine(site: Site) -> None:
    (site.path / "vms" / "everything.yaml").unlink()
    made = {**vm(0), "clone": None, "machine": "q35", "ostype": "win11"}
    site.define(made, {**vm(1), "machine": "pc", "ostype": "l26"})

    first = site.run("apply", "--yes")

    assert first.returncode == 0, first.stdout + first.stderr
    assert site.config("k8s-0")["machine"].startswith("pc-q35-")
    assert site.config("k8s-1")["machine"] == "pc"
    assert site.run("plan").returncode == 0

    site.define(made | {"machine": {"type": "q35", "viommu": "intel"}})
    site.define({**vm(1), "machine": "pc", "ostype": "win11"})
    second = site.run("apply", "--yes")

    assert second.returncode == 0, second.stdout + second.stderr
    assert site.config("k8s-0")["machine"].startswith("pc-q35-")
    assert site.config("k8s-0")["machine"].endswith(",viommu=intel")
    assert site.config("k8s-1")["machine"].startswith("pc-i440fx-")
    assert site.run("plan").returncode == 0


def test_limits_for_each_way_replace_one_for_both(site: Site) -> None:
    (site.path / "vms" / "everything.yaml").unlink()
    disk, drive = vm(0)["disks"]
    burst = {"mbps": 100, "mbps_max": 200, "bps_max_length": 5, "iops": 500}
    site.define({**vm(0), "disks": [{**disk, **burst}, drive]})
    assert site.run("apply", "--yes").returncode == 0
    site.define({**vm(0), "disks": [{**disk, "mbps_rd": 80, "mbps_wr": 60}, drive]})

    changed = site.run("apply", "--yes")

    assert changed.returncode == 0, changed.stdout + changed.stderr
    limits = {o for o in site.config("k8s-0")["scsi0"].split(",") if "ps" in o}
    assert limits == {"mbps_rd=80", "mbps_wr=60", "iops=500"}
    assert site.run("plan").returncode == 0


def test_memory_below_the_balloon_that_is_there_is_a_problem(site: Site) -> None:
    (site.path / "vms" / "everything.yaml").unlink()
    site.define({**vm(0), "memory": 4096, "balloon": 2048})
    assert site.run("apply", "--yes").returncode == 0
    site.define({**vm(0), "memory": 1024})
    site.endpoint.forget_requests()

    refused = site.run("apply", "--yes")

    assert (refused.returncode, site.writes()) == (1, [])
    line = list(vm(0)).index("memory") + 1
    assert (
        f"k8s-0.yaml:{line}: k8s-0: memory is to be 1024, but balloon is 2048 and Proxmox keeps it "
        "at most as large: set balloon too" in refused.stdout
    )
    site.define({**vm(0), "memory": 1024, "balloon": 512})
    assert site.run("apply", "--yes").returncode == 0
    assert site.run("plan").returncode == 0


def test_a_later_certificate_than_the_wanted_one_is_enrolled(site: Site) -> None:
    (site.path / "vms" / "everything.yaml").unlink()
    disk = {"storage": "local-lvm", "efitype": "4m", "pre-enrolled-keys": True}
    site.define({**vm(0), "bios": "ovmf", "efidisk0": {**disk, "ms-cert": "2023"}})

    made = site.run("apply", "--yes")

    assert made.returncode == 0, made.stdout + made.stderr
    assert "ms-cert=2023k" in site.config("k8s-0")["efidisk0"]
    assert site.run("plan").returncode == 0
