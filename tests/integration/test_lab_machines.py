"""A real machine's life behind the Proxmox endpoint, as whoever uses it would notice."""

import os
from pathlib import Path

import pytest
from lab_fixture import RunningLab, stackyard
from secret_search import holds, lab_secrets

pytestmark = pytest.mark.machines


def test_a_machine_lives_as_its_vm_was_told(lab: RunningLab) -> None:
    address, vm = "192.168.1.30", lab.create_machine(3000, "life", "192.168.1.30")

    assert lab.task("POST", f"{vm}/status/start") == "OK"
    lab.wait_for_ssh(address)
    assert "status: done" in lab.ssh(address, "cloud-init status --wait")
    assert lab.ssh(address, "hostname").strip() == "life"
    assert lab.ssh(address, "systemctl is-system-running --wait").strip() == "running"
    assert lab.machines()["life"].status == "running"

    seen = lab.api("GET", f"{vm}/agent/network-get-interfaces")["result"]
    config = lab.api("GET", f"{vm}/config")
    (card,) = [one for one in seen if one["name"] == "eth0"]
    assert card["hardware-address"].upper() in config["net0"]
    assert address in {one["ip-address"] for one in card["ip-addresses"]}
    told = lab.api("GET", f"{vm}/agent/file-read?file=/etc/hostname")
    assert told["content"] == "life\n"

    boot = lab.ssh(address, "cat /proc/sys/kernel/random/boot_id")
    lab.ssh(address, "sudo touch /root/kept; sudo systemctl reboot", check=False)
    _wait_for_another_boot(lab, address, boot)
    assert lab.machines()["life"].status == "running"

    lab.ssh(address, "sudo apt-get -q update && sudo apt-get -qy install hello")
    assert "Hello" in lab.ssh(address, "hello")

    assert lab.task("POST", f"{vm}/status/shutdown", timeout=30) == "OK"
    assert lab.machines()["life"].status == "stopped"

    assert lab.task("POST", f"{vm}/status/start") == "OK"
    lab.wait_for_ssh(address)
    assert "Hello" in lab.ssh(address, "sudo test -e /root/kept && hello")

    assert lab.task("POST", f"{vm}/status/stop") == "OK"
    assert lab.task("DELETE", vm) == "OK"
    assert "life" not in lab.machines()
    assert not (lab.folder / "machines" / "3000").exists()


def _wait_for_another_boot(lab: RunningLab, address: str, boot: str) -> None:
    for _ in range(50):
        lab.wait_for_ssh(address)
        if lab.ssh(address, "cat /proc/sys/kernel/random/boot_id", check=False) not in {boot, ""}:
            return
    raise AssertionError("the machine did not reboot")


def test_what_a_machine_does_stays_in_it(lab: RunningLab) -> None:
    address, vm = "192.168.1.31", lab.create_machine(3001, "alone", "192.168.1.31")
    panic = Path("/proc/sys/kernel/panic").read_text(encoding="utf-8")
    swappiness = Path("/proc/sys/vm/swappiness").read_text(encoding="utf-8")
    forward = Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="utf-8")
    name = os.uname().nodename

    assert lab.task("POST", f"{vm}/status/start") == "OK"
    lab.wait_for_ssh(address)
    wanted = "kernel.panic=77 vm.swappiness=7 net.ipv4.ip_forward=1"
    lab.ssh(address, f"sudo sysctl -qw {wanted} && sudo hostnamectl set-hostname other")
    assert lab.ssh(address, "cat /proc/sys/kernel/panic").strip() == "77"
    assert lab.ssh(address, "sudo modprobe overlay && sudo modprobe br_netfilter; echo $?") == "0\n"
    uuids = {lab.ssh(address, "cat /proc/sys/kernel/random/uuid") for _ in range(2)}

    assert len(uuids) == 2, "random/uuid must be the kernel's, not a copy"
    assert Path("/proc/sys/kernel/panic").read_text(encoding="utf-8") == panic
    assert Path("/proc/sys/vm/swappiness").read_text(encoding="utf-8") == swappiness
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="utf-8") == forward
    assert os.uname().nodename == name
    assert lab.task("POST", f"{vm}/status/stop") == "OK"
    assert lab.task("DELETE", vm) == "OK"


def test_an_address_that_moves_to_another_machine_is_found_at_once(lab: RunningLab) -> None:
    keys = set()
    for vmid in (3002, 3003):
        vm = lab.create_machine(vmid, f"heir{vmid}", "192.168.1.32")
        assert lab.task("POST", f"{vm}/status/start") == "OK"
        lab.wait_for_ssh("192.168.1.32", seconds=30)
        keys.add(lab.ssh("192.168.1.32", "cat /etc/ssh/ssh_host_ed25519_key.pub").split()[1])
        assert lab.task("POST", f"{vm}/status/stop") == "OK"
        assert lab.task("DELETE", vm) == "OK"
    assert len(keys) == 2, "each machine has a host key of its own"


def test_the_lan_has_no_way_out_but_debians_packages(lab: RunningLab) -> None:
    inside = ("lab", "exec", "--dir", str(lab.folder), "--")
    route = stackyard(*inside, "ip", "route", "get", "198.51.100.7")
    assert route.returncode != 0
    assert "unreachable" in route.stderr
    proxy = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-x", "http://192.168.1.1:3128"]
    assert lab.run([*proxy, "http://packages.example.org/secret.deb"]).stdout == "403"


def test_the_mirror_serves_any_k3s_version_with_its_checksum(lab: RunningLab) -> None:
    script = (
        'cd "$(mktemp -d)" && for file in k3s sha256sum-amd64.txt; do '
        'curl -fsSO "$K3S_DOWNLOAD_URL/v1.33.9%2Bk3s1/$file"; done && '
        "sha256sum --check --ignore-missing sha256sum-amd64.txt"
    )
    assert lab.run(["bash", "-c", script]).stdout == "k3s: OK\n"
    missing = ["curl", "-s", "-w", "%{http_code}", "http://192.168.1.9/k3s/latest/k3s"]
    assert lab.run(missing).stdout.endswith("404")


def test_vault_is_one_and_its_token_reaches_kv_alone(lab: RunningLab) -> None:
    lab.run(["bao", "kv", "put", "-cas=0", "kv/test/one", "key=value"])
    assert lab.run(["bao", "kv", "get", "-field=key", "kv/test/one"]).stdout == "value"
    again = lab.run(["bao", "kv", "put", "-cas=0", "kv/test/one", "key=other"], check=False)
    assert "check-and-set" in again.stderr
    assert "permission denied" in lab.run(["bao", "secrets", "list"], check=False).stderr


def test_the_labs_secrets_are_in_private_files_only(lab: RunningLab) -> None:
    secrets = lab_secrets(lab)
    assert lab.folder.stat().st_mode & 0o777 == 0o700
    for file in (one for one in lab.folder.rglob("*") if one.is_file()):
        if "machines" in file.relative_to(lab.folder).parts:
            continue  # a disk has modes of its own; the folder above it is for root alone
        if holds(file, secrets):
            assert file.stat().st_mode & 0o777 == 0o600, file
            assert file.suffix not in {".log", ".jsonl"}, f"a secret in {file}"
