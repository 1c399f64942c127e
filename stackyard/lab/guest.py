"""One booted machine: systemd-nspawn on an overlay of the image, restarted when it reboots."""

import asyncio
import logging
import os
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stackyard.lab import cgroups, network
from stackyard.lab.commands import run
from stackyard.lab.folder import write_private
from stackyard.lab.machine import SHUTDOWN_TIMED_OUT, Boot, MachineError

LOG = logging.getLogger(__name__)

REBOOT = 133  # systemd-nspawn --keep-unit: "restart me"
POWER_OFF = signal.SIGRTMIN + 4  # to systemd as process 1: start poweroff.target
START_SECONDS = 30.0
KILL_SECONDS = 10.0
AGAIN_SECONDS = 1.0  # a guest in its first moments ignores the signal: it is said again
PAUSE = 0.02

# Joins the machine's own group before nspawn looks where it is: with --keep-unit it stays there.
JOIN = 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"'


@dataclass(frozen=True, slots=True)
class Disk:
    """A machine's folder: what it wrote, over the image that all share."""

    path: Path
    image: Path

    @property
    def root(self) -> Path:
        """Where the machine's file system is mounted while it runs."""
        return self.path / "root"

    @property
    def seed(self) -> Path:
        """The NoCloud documents."""
        return self.path / "seed"

    @property
    def console(self) -> Path:
        """What the machine's console said since its last start."""
        return self.path / "console.log"

    async def mount(self) -> None:
        """Mount the overlay; nothing is synced, for a lab's disks need not survive a power cut."""
        upper, work = self.path / "upper", self.path / "work"
        # After `volatile` the kernel wants a fresh work folder as the word that losses are known.
        await asyncio.to_thread(_discard, work)
        for folder in (upper, work, self.root, self.seed):
            folder.mkdir(parents=True, exist_ok=True)
        upper.chmod(0o755)  # it is the guest's root folder
        layers = f"lowerdir={self.image},upperdir={upper},workdir={work},volatile"
        await run("mount", "-t", "overlay", "overlay", "-o", layers, str(self.root))

    async def unmount(self) -> None:
        """Unmount the overlay; nothing happens where it is not mounted."""
        if self.root.is_mount():
            await run("umount", "--lazy", str(self.root))

    def write_seed(self, boot: Boot) -> None:
        """Write the documents that cloud-init reads as its NoCloud seed directory."""
        self.seed.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self.seed / "user-data", boot.user_data)
        write_private(self.seed / "meta-data", boot.meta_data)
        write_private(self.seed / "network-config", boot.network_config)

    async def remove(self) -> None:
        """Remove the machine's folder with all it wrote."""
        await self.unmount()
        await asyncio.to_thread(_discard, self.path)


def _discard(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


class Guest:
    """A machine from its start until it is off again; a reboot is part of that."""

    def __init__(self, boot: Boot, disk: Disk, group: Path) -> None:
        self._boot = boot
        self._disk = disk
        self._group = group
        self._stopping = False
        self._process: asyncio.subprocess.Process | None = None
        self._life: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether the machine is on."""
        return self._life is not None and not self._life.done()

    @property
    def init(self) -> int | None:
        """The id of the guest's process 1, None while there is none."""
        return cgroups.guest_init(self._group) if self.running else None

    async def start(self) -> None:
        """Boot; returns once the guest's init runs, MachineError when it does not."""
        self._life = asyncio.create_task(self._live(), name=f"vm-{self._boot.vmid}")
        try:
            async with asyncio.timeout(START_SECONDS):
                while self.init is None:
                    if self._life.done():
                        self._life.result()
                        raise MachineError(f"start failed: {self._last_words()}")
                    await asyncio.sleep(PAUSE)
        except TimeoutError as error:
            await self.stop()
            raise MachineError(f"start failed: no init after {START_SECONDS:.0f} s") from error

    async def stop(self) -> None:
        """Cut the power: kill the guest's init, and with it all its processes."""
        self._stopping = True
        # Of a guest without init yet there is only nspawn, which takes its children with it.
        pid = self.init or (self._process.pid if self._process else None)
        if self._life is None or self._life.done() or pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        done, _ = await asyncio.wait([self._life], timeout=KILL_SECONDS)
        if not done:
            raise MachineError(f"stop failed: still on after {KILL_SECONDS:.0f} s")

    async def shutdown(self, seconds: float) -> None:
        """Ask the guest to power off; MachineError when it is still on after so many seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self._life is not None and not self._life.done():
            left = deadline - loop.time()
            if left <= 0:
                raise MachineError(SHUTDOWN_TIMED_OUT)
            if (init := self.init) is not None:
                with suppress(ProcessLookupError):
                    os.kill(init, POWER_OFF)
            await asyncio.wait([self._life], timeout=min(left, AGAIN_SECONDS))

    async def _live(self) -> None:
        try:
            self._disk.write_seed(self._boot)
            await self._disk.mount()
            self._group.mkdir(parents=True, exist_ok=True)
            code = REBOOT
            while code == REBOOT and not self._stopping:
                # Anew at each boot, as a real machine loses its sysctls and firewall rules.
                await network.connect(self._boot)
                code = await self._run() if not self._stopping else 0
            LOG.info("VM %d (%s) is off, exit code %d", self._boot.vmid, self._boot.name, code)
        finally:
            await network.disconnect(self._boot.vmid)
            await self._disk.unmount()
            await asyncio.to_thread(cgroups.remove, self._group)

    async def _run(self) -> int:
        descriptor = os.open(self._disk.console, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *("sh", "-c", JOIN, "sh", str(self._group)),
                *self._command(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                env={"PATH": os.environ["PATH"], "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"},
            )
        finally:
            os.close(descriptor)
        return await self._process.wait()

    def _command(self) -> list[str]:
        vmid = self._boot.vmid
        return [
            *("systemd-nspawn", "--boot", "--quiet", "--register=no", "--keep-unit"),
            *("--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe"),
            f"--directory={self._disk.root}",
            f"--machine=vm-{vmid}",
            f"--hostname={self._boot.name}",
            f"--network-namespace-path={network.namespace_path(vmid)}",
            # Without it net.* sysctls, which belong to the machine alone, are refused.
            "--capability=CAP_NET_ADMIN",
            f"--bind-ro={self._disk.seed}:/var/lib/cloud/seed/nocloud",
        ]

    def _last_words(self) -> str:
        try:
            lines = self._disk.console.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        return lines[-1] if lines else "the machine said nothing"
