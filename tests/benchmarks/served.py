"""A cluster to measure against, and the site and processes that are measured on it."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from stackyard.lab.platform_file import EXAMPLE
from stackyard.lab.tls import make_authority, make_server

TOKEN = "root@pam!stackyard"  # the name of a token; its secret is made anew for each run
ENDPOINT = Path(__file__).with_name("endpoint.py")
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6v0Xx0kz8wB6JXf3b0S8pHn1h9H2v2jv0m3Jm2sI9b me"


@dataclass(frozen=True)
class Served:
    """A running endpoint, and a folder for whoever works on it."""

    folder: Path
    port: int
    secret: str

    @property
    def environ(self) -> dict[str, str]:
        """The environment that points the product at this cluster."""
        user, _, token = TOKEN.partition("!")
        return {
            **os.environ,
            "PROXMOX_URL": f"https://127.0.0.1:{self.port}",
            "PROXMOX_USER": user,
            "PROXMOX_TOKEN_ID": token,
            "PROXMOX_TOKEN_SECRET": self.secret,
            "PROXMOX_CA": str(self.folder / "ca.pem"),
        }

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests since `forget`, oldest first."""
        text = (self.folder / "requests.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def forget(self) -> None:
        """Count requests anew."""
        (self.folder / "requests.jsonl").write_text("", encoding="utf-8")


@dataclass(frozen=True)
class Measured:
    """What one command cost."""

    seconds: float  # of the whole command
    at_work: float  # seconds from its first request to its last one
    cpu_seconds: float
    requests: int
    writes: int


@contextmanager
def serving(platform: Mapping[str, Any]) -> Iterator[Served]:
    """Serve the example platform with these top-level keys instead of its own."""
    with tempfile.TemporaryDirectory(prefix="stackyard-bench-") as name:
        folder = Path(name)
        document = {**yaml.safe_load(EXAMPLE.read_text(encoding="utf-8")), **platform}
        _write(folder, document)
        arguments = [folder / file for file in ("platform.yaml", "cert.pem", "key.pem")]
        child = subprocess.Popen(
            [sys.executable, str(ENDPOINT), *map(str, arguments), str(folder / "requests.jsonl")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with child:
            assert child.stdin
            assert child.stdout
            told = json.loads(child.stdout.readline())
            try:
                yield Served(folder, told["port"], told["secrets"][TOKEN])
            finally:
                child.stdin.close()
                child.wait(30)


def _write(folder: Path, document: Mapping[str, Any]) -> None:
    authority = make_authority("the benchmark's CA")
    server = make_server(authority, ["localhost"], ["127.0.0.1"])
    (folder / "key.pem").touch(mode=0o600)
    (folder / "key.pem").write_text(server.key, encoding="utf-8")
    (folder / "cert.pem").write_text(server.certificate, encoding="utf-8")
    (folder / "ca.pem").write_text(authority.pem, encoding="utf-8")
    (folder / "platform.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")


def measured(served: Served, command: Sequence[str], environ: Mapping[str, str]) -> Measured:
    """Run a command that has to end well, and tell what it cost, its children included."""
    served.forget()
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        command,
        check=False,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{command[0]} exited {done.returncode}\n{done.stdout}\n{done.stderr}")
    requests = served.requests()
    return Measured(
        seconds,
        requests[-1]["time"] - requests[0]["time"],
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        len(requests),
        sum(request["method"] != "GET" for request in requests),
    )


def stackyard(*arguments: str) -> list[str]:
    """Return the product's command line."""
    return [sys.executable, "-m", "stackyard.cli.main", *arguments]


def definition(number: int, node: str, cloudinit: str = "ide2") -> dict[str, Any]:
    """A VM to make: a full clone of the example's template, a larger disk, and its settings."""
    return {
        "name": f"bench-{number:04}",
        "target_node": node,
        "vmid": 1000 + number,
        "cores": 2,
        "sockets": 1,
        "memory": 2048,
        "clone": "ubuntu24-template",
        "full_clone": True,
        "boot": "order=scsi0",
        "agent": 1,
        "vm_state": "running",
        "onboot": True,
        "scsihw": "virtio-scsi-single",
        "nested_disks": {
            "scsi": {"scsi0": {"disk": {"storage": "local-lvm", "size": "8G"}}},
            "ide": {cloudinit: {"cloudinit": {"storage": "local-lvm"}}},
        },
        "network": {"bridge": "vmbr0", "model": "virtio", "firewall": False},
        "ipconfig0": f"ip=10.9.{number // 250}.{number % 250 + 2}/16,gw=10.9.0.1",
        "ciuser": "ops",
        "sshkeys": SSH_KEY,
    }


def as_lab_vm(number: int, node: str) -> dict[str, Any]:
    """The same VM as the lab has it once it is made."""
    return {
        "node": node,
        "vmid": 1000 + number,
        "running": True,
        "config": {
            "agent": "1",
            "boot": "order=scsi0",
            "ciuser": "ops",
            "cores": 2,
            "cpu": "host",
            "ide2": "local-lvm:cloudinit",
            "ipconfig0": f"ip=10.9.{number // 250}.{number % 250 + 2}/16,gw=10.9.0.1",
            "memory": 2048,
            "net0": "virtio,bridge=vmbr0",
            "onboot": 1,
            "ostype": "l26",
            "scsi0": "local-lvm:8",
            "scsihw": "virtio-scsi-single",
            "serial0": "socket",
            "sockets": 1,
            "sshkeys": quote(SSH_KEY, safe=""),
            "tags": "stackyard",
            "vga": "serial0",
        },
    }


def write_site(folder: Path, definitions: Sequence[Mapping[str, Any]]) -> Path:
    """Write a site with these VMs; return its folder."""
    (folder / "vms").mkdir(parents=True)
    (folder / "inventory").mkdir()
    for one in definitions:
        path = folder / "vms" / f"{one['name']}.yaml"
        path.write_text(yaml.safe_dump(dict(one), sort_keys=False), encoding="utf-8")
    return folder
