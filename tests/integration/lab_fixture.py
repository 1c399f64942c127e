"""A lab with real machines for the tests: brought up once a session, taken down at its end."""

import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from stackyard.lab import control, entry, overview, requirements
from stackyard.lab.errors import LabError

REPOSITORY = Path(__file__).parents[2]
CACHE = REPOSITORY / ".cache" / "lab"
STACKYARD = Path(sysconfig.get_path("scripts")) / "stackyard"
USER = "suporte"
ENTER = ("/usr/bin/nsenter",)


def why_no_machines() -> str | None:
    """Return why lab machines cannot boot here, None where they can."""
    if reason := requirements.why_simulated():
        return reason
    try:
        requirements.check_programs()
    except LabError as error:
        return str(error)
    return None


def stackyard(*arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    return subprocess.run(
        [sys.executable, str(STACKYARD), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@dataclass
class RunningLab:
    """A lab that is up."""

    lab: control.Lab
    _inside: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        """Send one thread into the lab's network."""
        self._inside = ThreadPoolExecutor(1, initializer=entry.enter_network, initargs=(self.lab,))

    @property
    def folder(self) -> Path:
        """The lab's folder."""
        return self.lab.folder.path

    @property
    def environ(self) -> Mapping[str, str]:
        """The variables that point the product at the lab."""
        return self.lab.environment

    def run(
        self, command: Sequence[str], *, check: bool = True, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside the lab; a failure shows what the command said."""
        # What `lab exec` does, without a Python that starts each time.
        done = subprocess.run(
            [*ENTER, f"--target={self.lab.process.pid}", "--net", "--", *command],
            env=entry.surroundings(self.lab, os.environ),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def ssh(self, address: str, command: str, *, check: bool = True) -> str:
        """Run a command on a machine and return what it printed."""
        options = (
            *("-i", self.environ["ANSIBLE_PRIVATE_KEY_FILE"]),
            *("-o", "BatchMode=yes", "-o", "ConnectTimeout=3", "-o", "LogLevel=ERROR"),
            *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
        )
        return self.run(["ssh", *options, f"{USER}@{address}", command], check=check).stdout

    def wait_for_ssh(self, address: str, seconds: float = 60) -> None:
        """Wait until a machine's user may become root."""
        deadline = time.monotonic() + seconds
        while "0" not in self.ssh(address, "sudo id -u", check=False):
            assert time.monotonic() < deadline, f"{address} does not answer by ssh"
            time.sleep(0.2)

    def api(self, method: str, path: str, **data: object) -> Any:
        """Call the Proxmox API and return its data."""
        return self._inside.submit(self._call, method, path, data).result()

    def task(self, method: str, path: str, **data: object) -> str:
        """Call the Proxmox API, wait for the task, and return its exit status."""
        upid = self.api(method, path, **data)
        node = upid.split(":")[1]
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            status = self.api("GET", f"/nodes/{node}/tasks/{quote(upid, safe='')}/status")
            if status["status"] == "stopped":
                return str(status["exitstatus"])
            time.sleep(0.05)
        raise AssertionError(f"{upid} does not end")

    def machines(self) -> dict[str, overview.Machine]:
        """Return the lab's VMs by name."""
        return {machine.name: machine for machine in overview.machines(self.lab)}

    def create_machine(self, vmid: int, name: str, address: str, node: str = "node03") -> str:
        """Create a VM without starting it; returns its path in the API."""
        created = self.task(
            "POST",
            f"/nodes/{node}/qemu",
            vmid=vmid,
            name=name,
            memory=512,
            agent=1,
            net0="virtio,bridge=vmbr0",
            scsi0="local-lvm:4",
            ide2="local-lvm:cloudinit",
            ciuser=USER,
            sshkeys=quote(self.environ["STACKYARD_SSHKEYS"], safe=""),
            ipconfig0=f"ip={address}/24,gw=192.168.1.1",
        )
        assert created == "OK"
        return f"/nodes/{node}/qemu/{vmid}"

    def close(self) -> None:
        """Bring the thread home and take the lab down."""
        self._inside.shutdown()
        done = stackyard("lab", "down", "--dir", str(self.folder))
        assert done.returncode == 0, done.stderr

    def _call(self, method: str, path: str, data: Mapping[str, object]) -> Any:
        variables = self.environ
        identity = f"{variables['PROXMOX_USER']}!{variables['PROXMOX_TOKEN_ID']}"
        secret = variables["PROXMOX_TOKEN_SECRET"]
        answer = requests.request(
            method,
            f"{variables['PROXMOX_URL']}/api2/json{path}",
            data=dict(data) or None,
            headers={"Authorization": f"PVEAPIToken={identity}={secret}"},
            verify=variables["PROXMOX_CA"],
            timeout=30,
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.reason} {answer.text}"
        return json.loads(answer.text)["data"]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """The session's lab; tests that ask for it are skipped where machines cannot boot."""
    if reason := why_no_machines():
        pytest.skip(f"lab machines cannot boot here: {reason}")
    folder = tmp_path_factory.mktemp("lab") / "lab"
    started = stackyard("lab", "up", "--dir", str(folder), "--cache", str(CACHE), timeout=600)
    assert started.returncode == 0, started.stderr
    found = control.find(folder)
    assert found is not None
    running = RunningLab(found)
    try:
        yield running
    finally:
        running.close()
