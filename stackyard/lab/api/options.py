"""The options of a VM, one compact table: type, range and format of each the lab knows."""

import re
from functools import cache

from stackyard.lab.api import hardware as h
from stackyard.lab.api import values as v
from stackyard.lab.api.devices import (
    AGENT,
    BOOL,
    CICUSTOM,
    COUNT,
    DRIVES,
    IPCONFIG,
    NATURAL,
    NET,
    TEXT,
    Table,
    enum,
    words,
)
from stackyard.lab.api.formats import Rule

CLOUD_INIT: Table = {
    "cicustom": Rule(format=CICUSTOM),
    "cipassword": TEXT,
    "citype": enum("configdrive2 nocloud opennebula"),
    "ciupgrade": BOOL,
    "ciuser": TEXT,
    "ipconfig[n]": Rule(format=IPCONFIG),
    "nameserver": Rule(format=v.address_list),
    "searchdomain": TEXT,
    "sshkeys": Rule(format=v.url_encoded),
}
LOCKS = words("backup clone create migrate rollback snapshot snapshot-delete suspending suspended")
_MACHINE = (
    r"(pc|pc(-i440fx)?-\d+(\.\d+)+(\+pve\d+)?(\.pxe)?|q35|pc-q35-\d+(\.\d+)+(\+pve\d+)?(\.pxe)?"
    r"|virt(?:-\d+(\.\d+)+)?(\+pve\d+)?)"
)
VM_OPTIONS: Table = CLOUD_INIT | {
    **{f"{name}[n]": Rule(format=table) for name, table in DRIVES.items()},
    "acpi": BOOL,
    "affinity": Rule(format=v.cpu_set),
    "agent": Rule(format=AGENT),
    "allow-ksm": BOOL,
    "amd-sev": TEXT,
    "arch": enum("x86_64 aarch64"),
    "args": TEXT,
    "audio0": TEXT,
    "autostart": BOOL,
    "balloon": NATURAL,
    "bios": enum("seabios ovmf"),
    "boot": Rule(format=h.boot_order),
    "bootdisk": Rule(pattern=r"(ide|sata|scsi|virtio)\d+"),
    "cores": COUNT,
    "cpu": Rule(format=h.CPU),
    "cpulimit": Rule("number", minimum=0, maximum=128),
    "cpuunits": Rule("integer", minimum=1, maximum=262144),
    "description": Rule(max_length=8192),
    "freeze": BOOL,
    "hookscript": Rule(format=v.volume_id),
    "hostpci[n]": Rule(format=h.PCI),
    "hotplug": Rule(format=v.hotplug),
    "hugepages": enum("any 2 1024"),
    "ivshmem": TEXT,
    "keephugepages": BOOL,
    "keyboard": TEXT,
    "kvm": BOOL,
    "localtime": BOOL,
    "lock": Rule(enum=LOCKS),
    "machine": Rule(
        format={
            "type": Rule(pattern=_MACHINE, max_length=40, default_key=True),
            "aw-bits": Rule("number", minimum=32, maximum=64),
            "enable-s3": BOOL,
            "enable-s4": BOOL,
            "viommu": enum("intel virtio"),
        }
    ),
    "memory": Rule(
        format={"current": Rule("integer", optional=False, minimum=16, default_key=True)}
    ),
    "migrate_downtime": Rule("number", minimum=0),
    "migrate_speed": NATURAL,
    "name": Rule(format=v.dns_name),
    "net[n]": Rule(format=NET),
    "numa": BOOL,
    "numa[n]": Rule(format=h.NUMA),
    "onboot": BOOL,
    "ostype": enum("other wxp w2k w2k3 w2k8 wvista win7 win8 win10 win11 l24 l26 solaris"),
    "parallel[n]": Rule(pattern=r"/dev/parport\d+|/dev/usb/lp\d+"),
    "protection": BOOL,
    "reboot": BOOL,
    "rng0": Rule(format=h.RNG),
    "scsihw": enum("lsi lsi53c810 virtio-scsi-pci virtio-scsi-single megasas pvscsi"),
    "serial[n]": Rule(pattern=r"(/dev/[^,]+|socket)"),
    "shares": Rule("integer", minimum=0, maximum=50000),
    "smbios1": Rule(max_length=512),
    "smp": COUNT,
    "sockets": COUNT,
    "spice_enhancements": TEXT,
    "startdate": Rule(pattern=r"(now|\d{4}-\d{1,2}-\d{1,2}(T\d{1,2}:\d{1,2}:\d{1,2})?)"),
    "startup": Rule(format=h.startup),
    "tablet": BOOL,
    "tags": Rule(format=v.tag_list),
    "tdf": BOOL,
    "template": BOOL,
    "usb[n]": Rule(format=h.USB),
    "vcpus": COUNT,
    "vga": Rule(format=h.VGA),
    "virtiofs[n]": Rule(format=h.VIRTIOFS),
    "vmgenid": Rule(pattern=r"(?:[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}|[01])"),
    "vmstatestorage": Rule(format=v.storage_id),
    "watchdog": Rule(format=h.WATCHDOG),
}
_COUNTS = {
    "ide": 4, "sata": 6, "scsi": 31, "virtio": 16, "efidisk": 1, "tpmstate": 1, "unused": 256,
    "net": 32, "ipconfig": 32, "hostpci": 16, "numa": 8, "parallel": 3, "serial": 4, "usb": 14,
    "virtiofs": 10,
}  # fmt: skip
DISK_SLOTS = tuple(
    f"{bus}{n}" for bus in ("ide", "scsi", "virtio", "sata") for n in range(_COUNTS[bus])
)


@cache
def indexed(name: str) -> tuple[str, int]:
    """Split `scsi0` into its family and number; the number of a plain name is -1."""
    match = re.fullmatch(r"([a-z]+?)(0|[1-9]\d*)", name)
    if match and int(match[2]) < _COUNTS.get(match[1], 0):
        return match[1], int(match[2])
    return name, -1


def rule_of(name: str, table: Table = VM_OPTIONS) -> Rule | None:
    """Return the rule of an option such as `scsi0` or `memory`."""
    family, number = indexed(name)
    return table.get(name) if number < 0 else table.get(f"{family}[n]", table.get(name))


def drive_table(name: str) -> Table | None:
    """Return the property table of a drive option, None for any other option."""
    family, number = indexed(name)
    return DRIVES.get(family) if number >= 0 else None
