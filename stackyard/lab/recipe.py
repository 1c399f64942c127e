"""What a lab machine is made of: Debian's packages and the few files that make it a good guest.

A recipe is a value; its digest names the image that is made from it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from stackyard.lab.addresses import GATEWAY, PACKAGE_PROXY_PORT
from stackyard.lab.sources import Source

PACKAGES = (
    "ca-certificates",
    "cloud-init",
    "curl",
    "dbus",
    "gpg",
    "iproute2",
    "kmod",
    # Without it sudo looks for a name server after each change of the host name: 20 seconds.
    "libnss-myhostname",
    "openssh-server",
    "openssl",
    "procps",
    "python3",
    "python3-apt",
    "sudo",
    "systemd",
    "systemd-sysv",
)

# Services that a guest on the lab's LAN has no use for, or that would act on the machine below.
MASKED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@.service",
    "systemd-firstboot.service",
    "systemd-networkd.service",
    "systemd-pstore.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "systemd-udev-trigger.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udevd.service",
)

# Each machine makes its own of these at its first boot.
REMOVED = (
    "etc/hostname",
    "etc/resolv.conf",
    "etc/ssh/ssh_host_*",
    "etc/apt/apt.conf.d/99mmdebstrap",
)

SSHD = """\
# A lab has no name server to ask, and Ansible opens many connections at once.
UseDNS no
MaxStartups 100
PasswordAuthentication no
"""

CLOUD_INIT = """\
# The lab gives each card its address before the machine boots.
network: {config: disabled}
datasource_list: [NoCloud, None]
# The package locales is not there: C.UTF-8 is.
locale: false
apt_preserve_sources_list: true
ssh_genkeytypes: [ed25519, ecdsa]
# The image is fresh: upgrading each machine at its first boot would take minutes on two cores,
# so Proxmox VE's `package_upgrade: true` is not carried out. Packages are the roles' business.
cloud_final_modules: [scripts-vendor, scripts-per-once, scripts-per-boot, scripts-per-instance,
  scripts-user, write-files-deferred, final-message]
"""

# vm.*, fs.* and kernel.* belong to the whole machine. A guest sets and reads copies of its own;
# random/ stays the kernel's, for a copy of random/uuid would give one answer for ever.
SYSCTL = """\
#!/bin/sh
set -eu
mkdir -p /run/lab/sysctl /run/lab/random
mount --rbind /proc/sys/kernel/random /run/lab/random
for name in vm fs kernel; do
  # Some entries can be written only, or read by nobody: they are missing from the copy.
  cp -r --no-preserve=all "/proc/sys/$name" /run/lab/sysctl/ 2>/dev/null || :
  mount --bind "/run/lab/sysctl/$name" "/proc/sys/$name"
done
mount --rbind /run/lab/random /proc/sys/kernel/random
"""

SYSCTL_UNIT = """\
[Unit]
Description=Copies of the machine-wide sysctls for this guest alone
DefaultDependencies=no
Before=systemd-sysctl.service sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/libexec/lab-sysctl

[Install]
WantedBy=sysinit.target
"""

# What roles load and the machine's kernel has anyway; a guest could not load a module.
BUILT_IN = ("kernel/fs/overlayfs/overlay.ko", "kernel/net/bridge/br_netfilter.ko")


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that an image depends on."""

    release: str
    kernel: str
    sources: tuple[Source, ...]
    packages: tuple[str, ...]
    masked: tuple[str, ...]
    removed: tuple[str, ...]
    files: Mapping[str, str]
    programs: Mapping[str, str]
    """Files that are executable."""
    links: Mapping[str, str]

    @property
    def digest(self) -> str:
        """A name for the image that this recipe makes."""
        parts = [
            self.release,
            self.kernel,
            [source.line() for source in self.sources],
            self.packages,
            self.masked,
            self.removed,
            dict(self.files),
            dict(self.programs),
            dict(self.links),
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def make_recipe(release: str, kernel: str, sources: tuple[Source, ...]) -> Recipe:
    """Return the recipe of a lab machine: a Debian release under this machine's kernel."""
    # Guests speak plain http to the lab's package proxy; it dials with the source's own scheme.
    lines = "".join(f"{source.line('http')}\n" for source in sources)
    proxy = f'Acquire::http::Proxy "http://{GATEWAY}:{PACKAGE_PROXY_PORT}";\n'
    files = {
        "etc/apt/sources.list": lines,
        "etc/apt/apt.conf.d/01lab": proxy,
        "etc/cloud/cloud.cfg.d/90_lab.cfg": CLOUD_INIT,
        "etc/cloud/ds-identify.cfg": "policy: enabled\n",
        "etc/default/locale": "LANG=C.UTF-8\n",
        # A lab's disk need not survive a power cut.
        "etc/dpkg/dpkg.cfg.d/lab": "force-unsafe-io\n",
        "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
        "etc/machine-id": "",
        "etc/ssh/sshd_config.d/lab.conf": SSHD,
        "etc/systemd/system/lab-sysctl.service": SYSCTL_UNIT,
        f"lib/modules/{kernel}/modules.builtin": "".join(f"{name}\n" for name in BUILT_IN),
        f"lib/modules/{kernel}/modules.order": "",
        f"lib/modules/{kernel}/modules.builtin.modinfo": "",
    }
    wants = "etc/systemd/system/sysinit.target.wants/lab-sysctl.service"
    return Recipe(
        release=release,
        kernel=kernel,
        sources=sources,
        packages=PACKAGES,
        masked=MASKED,
        removed=REMOVED,
        files=files,
        programs={"usr/local/libexec/lab-sysctl": SYSCTL},
        links={wants: "/etc/systemd/system/lab-sysctl.service"},
    )
