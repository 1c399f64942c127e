"""What the tests of faults share: an apply in this process, and what has to be true after it."""

import sys
from dataclasses import dataclass

import pytest
from apply_site import Site
from proxmox_lab import ProxmoxEndpoint

from stackyard.cli.main import main
from stackyard.lab.api.vm import is_cloudinit, parse_size
from stackyard.proxmox import client, jobs, pace

GIB = 1024**3


@dataclass(frozen=True)
class Said:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


class Commands:
    """Runs the product's command line in this process, with its own clocks set to be quick."""

    def __init__(
        self, site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.site = site
        self._monkeypatch = monkeypatch
        self.capsys = capsys
        for name, value in site.endpoint.environ.items():
            monkeypatch.setenv(name, value)
        hasten(monkeypatch)

    def run(self, *arguments: str) -> Said:
        argv = ["stackyard", *arguments, "--site", str(self.site.path)]
        self._monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = self.capsys.readouterr()
        assert "Traceback" not in out + err
        assert self.site.endpoint.token_secret not in out + err
        code = caught.value.code
        return Said(code if isinstance(code, int) else 0, out, err)

    def apply(self) -> Said:
        return self.run("apply", "--yes")

    def finish(self, names: tuple[str, ...]) -> None:
        """Apply once more without faults: it converges, and then there is nothing left to do."""
        self.site.endpoint.endpoint.clear_faults()
        last = self.apply()
        assert last.code == 0, last.text
        assert_converged(self.site.endpoint, names)
        assert self.run("plan").code == 0


def hasten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scale the product's waits to the lab's latencies: a second for a minute."""
    monkeypatch.setattr(jobs, "EXPECTED_SECONDS", {})
    monkeypatch.setattr(jobs, "UNEXPECTED_SECONDS", 0.01)
    monkeypatch.setattr(pace, "FIRST_POLL_SECONDS", 0.01)
    monkeypatch.setattr(pace, "FOLLOWER_POLL_SECONDS", 0.05)
    monkeypatch.setattr(jobs, "LOCK_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(jobs, "LOCK_DEADLINE_SECONDS", 1.0)
    monkeypatch.setattr(client, "LOCK_DEADLINE_SECONDS", 1.0)
    monkeypatch.setattr(client, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(client, "TOLD_AFTER_SECONDS", 0.0)


def assert_converged(endpoint: ProxmoxEndpoint, names: tuple[str, ...]) -> None:
    """Each VM is there once and whole, nobody's else changed, and no volume is lost or left over.

    This looks into the lab's own state, not through the API that the product uses.
    """
    cluster = endpoint.endpoint.cluster
    made = [vm for vm in cluster.vms.values() if not vm.template and vm.label in names]
    assert sorted(vm.label for vm in made) == sorted(names)
    others = {vm.label for vm in cluster.vms.values() if not vm.template} - {*names, "legacy"}
    assert all(label.startswith("rival-") for label in others)
    for vm in made:
        assert vm.lock == ""
        assert vm.config["tags"] == "stackyard;stackyard-unconfigured"
        assert "description" not in vm.config
        assert vm.config["memory"] == "1024"
        assert vm.config["ipconfig0"].startswith("ip=192.168.1.2")
        assert cluster.running(vm)
        assert not vm.pending
        assert not list(vm.unused())
        assert [slot for slot, drive in vm.drives() if is_cloudinit(drive)] == ["ide1"]
        (disk,) = vm.disks()
        assert (disk[0], parse_size(disk[1]["size"])) == ("scsi0", 8 * GIB)
        held = {drive["file"] for _, drive in vm.drives()}
        assert {volume.volid for volume in cluster.volumes.owned(vm.vmid, vm.node)} == held
    known = set(cluster.vms)
    for node in cluster.platform.nodes:
        for storage in cluster.volumes.of_node(node):
            owners = {volume.vmid for volume in cluster.volumes.content(node, storage.name)}
            assert owners <= known | {None}
