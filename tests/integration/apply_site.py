"""A small site of five VMs on the example platform, and the command that works on it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from proxmox_lab import ProxmoxEndpoint

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6v0Xx0kz8wB6JXf3b0S8pHn1h9H2v2jv0m3Jm2sI9b me+tag@host"
NODES = ("node01", "node02", "node03")
NAMES = tuple(f"k8s-{number}" for number in range(5))
SITE: dict[str, Any] = {
    "nodes": {
        "node01": {"threads": 8, "memory": 16384, "storages": ["local", "local-lvm", "slowdata"]},
        "node02": {"threads": 8, "memory": 32768, "storages": ["local", "local-lvm"]},
        "node03": {"threads": 72, "memory": 131072, "storages": ["local", "local-lvm", "data2"]},
    },
    "networks": {"lan": {"cidr": "192.168.1.0/24", "gateway": "192.168.1.1"}},
}


def vm(number: int) -> dict[str, Any]:
    """A VM like those of the example: a full clone whose cloud-init drive is on ide1."""
    return {
        "name": f"k8s-{number}",
        "target_node": NODES[number % 3],
        "cores": 2,
        "memory": 1024,
        "clone": "ubuntu24-template",
        "full_clone": True,
        "boot": "order=scsi0",
        "agent": 1,
        "vm_state": "running",
        "disks": [
            {"slot": "scsi0", "type": "disk", "storage": "local-lvm", "size": "8G"},
            {"slot": "ide1", "type": "cdrom", "cloudinit": True, "storage": "local-lvm"},
        ],
        "network": {"bridge": "vmbr0", "model": "virtio", "firewall": False},
        "ipconfig0": f"ip=192.168.1.{20 + number}/24,gw=192.168.1.1",
        "ciuser": "ops",
        "sshkeys": KEY,
        "nameserver": "192.168.1.3",
        "serial": True,
    }


@dataclass(frozen=True)
class Site:
    """A site's folder, and the Proxmox it works on."""

    path: Path
    endpoint: ProxmoxEndpoint

    def define(self, *vms: dict[str, Any]) -> None:
        for values in vms:
            path = self.path / "vms" / f"{values['name']}.yaml"
            path.write_text(yaml.safe_dump(values, sort_keys=False))

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "stackyard.cli.main", *arguments, "--site", str(self.path)]

    def begin(self, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.command(*arguments),
            env={**os.environ, **self.endpoint.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        process = self.begin(*arguments, **environ)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def vms(self) -> list[dict[str, Any]]:
        """Every VM of the cluster that is no template, by name."""
        rows = [
            {**row, "node": node}
            for node in NODES
            for row in self.endpoint.call("GET", f"/nodes/{node}/qemu")
        ]
        return sorted((r for r in rows if not r.get("template")), key=lambda r: str(r.get("name")))

    def config(self, name: str) -> dict[str, Any]:
        row = next(row for row in self.vms() if row["name"] == name)
        path = f"/nodes/{row['node']}/qemu/{row['vmid']}/config"
        config: dict[str, Any] = self.endpoint.call("GET", path)
        return config

    def writes(self) -> list[str]:
        """The requests so far that changed something."""
        return [
            f"{r['method']} {r['path']}" for r in self.endpoint.requests() if r["method"] != "GET"
        ]


def make_site(path: Path, endpoint: ProxmoxEndpoint, count: int = 5) -> Site:
    (path / "vms").mkdir(parents=True)
    (path / "inventory").mkdir()
    (path / "inventory" / "site.yml").write_text(yaml.safe_dump(SITE))
    site = Site(path, endpoint)
    site.define(*(vm(number) for number in range(count)))
    return site


def assert_whole(site: Site, names: tuple[str, ...] = NAMES) -> None:
    """Every VM is there once, running, and as defined."""
    assert [row["name"] for row in site.vms() if row["name"] != "legacy"] == sorted(names)
    for name in names:
        config = site.config(name)
        assert "size=8G" in config["scsi0"]
        assert "cloudinit" in config["ide1"]
        assert "ide2" not in config
        assert config["memory"] == "1024"
        assert config["ipconfig0"].startswith("ip=192.168.1.2")
        assert set(config["tags"].split(";")) == {"stackyard", "stackyard-unconfigured"}
        assert "description" not in config
        assert "lock" not in config
    assert {row["status"] for row in site.vms() if row["name"] in names} == {"running"}
    plan = site.run("plan")
    assert (plan.returncode, plan.stderr) == (0, "")
