"""The lab's hypervisor: real Debian machines behind the Proxmox endpoint."""

from pathlib import Path

from stackyard.lab import network
from stackyard.lab.commands import run_binary
from stackyard.lab.errors import LabError
from stackyard.lab.guest import Disk, Guest
from stackyard.lab.machine import Boot, MachineError, loopback

# The guest agent reads 16 MiB of a file at most (qemu-ga, guest-file-read).
LARGEST_FILE = 16 * 1024 * 1024


class Nspawn:
    """Machines booted by systemd-nspawn; everything of one lies in `folder`/<vmid>."""

    def __init__(self, image: Path, folder: Path, group: Path) -> None:
        self._image = image
        self._folder = folder
        self._group = group
        self._guests: dict[int, Guest] = {}

    async def start(self, boot: Boot) -> None:
        """Boot a machine from its disk; returns once its init runs."""
        if self.running(boot.vmid):
            raise MachineError(f"VM {boot.vmid} already running")
        guest = Guest(boot, self._disk(boot.vmid), self._group / network.namespace(boot.vmid))
        self._guests[boot.vmid] = guest
        try:
            await guest.start()
        except LabError as error:
            raise MachineError(f"start failed: {error}") from error

    async def stop(self, vmid: int) -> None:
        """Cut the power."""
        if guest := self._guests.get(vmid):
            await guest.stop()

    async def shutdown(self, vmid: int, seconds: float, /) -> None:
        """Ask the guest to power off; MachineError when it has not within so many seconds."""
        if guest := self._guests.get(vmid):
            await guest.shutdown(seconds)

    def running(self, vmid: int) -> bool:
        """Whether the machine is on."""
        guest = self._guests.get(vmid)
        return guest is not None and guest.running

    async def destroy(self, vmid: int) -> None:
        """Cut the power and remove the machine's disk."""
        await self.stop(vmid)
        self._guests.pop(vmid, None)
        await self._disk(vmid).remove()

    async def interfaces(self, vmid: int) -> list[dict[str, object]] | None:
        """Return the guest's interfaces; None while it is off or has no init yet."""
        if self._init(vmid) is None:
            return None
        cards = await network.interfaces(vmid)
        return None if cards is None else [loopback(), *cards]

    async def read_file(self, vmid: int, path: str) -> bytes | None:
        """Return a file as the guest sees it, read inside of it: no link leads out."""
        init = self._init(vmid)
        if init is None:
            return None
        inside = ("nsenter", f"--target={init}", "--mount", "--pid", "--net", "--uts", "--ipc")
        try:
            return await run_binary(*inside, "head", "-c", str(LARGEST_FILE), "--", path)
        except LabError:
            return None

    async def close(self) -> None:
        """Cut the power of all machines."""
        for vmid in list(self._guests):
            await self.stop(vmid)

    def _disk(self, vmid: int) -> Disk:
        return Disk(self._folder / str(vmid), self._image)

    def _init(self, vmid: int) -> int | None:
        guest = self._guests.get(vmid)
        return guest.init if guest is not None else None
