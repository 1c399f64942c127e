"""Disks, network interfaces and cloud-init addresses as Proxmox writes them, both ways."""

import re
from urllib.parse import quote, unquote

from stackyard.definitions.keys import DISK_OPTION_KEYS, NIC_KEYS, NIC_MODELS
from stackyard.definitions.model import Disk, IpConfig, Nic
from stackyard.plan.values import Value
from stackyard.proxmox import properties
from stackyard.proxmox.properties import Codec, Fields

Decoded = tuple[Value, str]  # the value, and the options that no definition knows

_DISK = Fields(key for key in DISK_OPTION_KEYS if key.name not in ("discard", "serial"))
_DISCARD = Codec(lambda value: "on" if value else "ignore", lambda text: text == "on")
_SERIAL = Codec(lambda value: quote(value, safe="!~*'()"), unquote)
_NIC = Fields(key for key in NIC_KEYS if key.name not in ("model", "mac", "firewall"))
_NEW_VOLUME = re.compile(r"(?P<storage>[^:/]+):(?P<gib>\d+(\.\d+)?)")
# An image may be called cloudinit, too: `local:iso/cloudinit.iso`.
_CLOUDINIT = re.compile(
    r"(?P<storage>[^:/]+):(cloudinit|(.*/)?vm-\d+-cloudinit(\.(raw|qcow2|vmdk))?)"
)


def encode_disk(disk: Disk, keep: str) -> str:
    """Write a disk; one without a volume is asked for by its size and is going to be made."""
    options = _DISK.write(disk)
    options["discard"] = None if disk.discard is None else _DISCARD.write(disk.discard)
    options["serial"] = None if disk.serial is None else _SERIAL.write(disk.serial)
    if disk.media == "iso":
        return properties.render(disk.volume or "none", {"media": "cdrom"}, keep)
    if disk.media == "cloudinit":
        return properties.render(f"{disk.storage}:cloudinit", {"format": disk.format}, keep)
    if disk.volume is None:
        made = {"format": disk.format, "import-from": disk.import_from}
        size = 0 if disk.import_from else disk.size_bytes or 0
        new = f"{disk.storage}:{properties.gib(size)}"
        return properties.render(new, {**made, **options}, keep)
    known = None if disk.size_bytes is None else properties.size(disk.size_bytes)
    return properties.render(disk.volume, {"size": known, **options}, keep)


def decode_disk(slot: str, text: str) -> Decoded:
    """Read what is in a slot."""
    options = properties.parse(text, "file")
    volume, media = options.pop("file", ""), options.pop("media", None)
    if match := _CLOUDINIT.fullmatch(volume):
        form = options.pop("format", None)
        options.pop("size", None)
        disk = Disk(slot, "cloudinit", storage=match["storage"], format=form)
        return disk, properties.render("", dict(options))
    if media == "cdrom":
        options.pop("size", None)
        return Disk(slot, "iso", volume=volume), properties.render("", dict(options))
    return _decode_volume(slot, volume, options)


def _decode_volume(slot: str, volume: str, options: dict[str, str]) -> Decoded:
    new = _NEW_VOLUME.fullmatch(volume)
    form, size = options.pop("format", None), options.pop("size", None)
    discard, serial = options.pop("discard", None), options.pop("serial", None)
    device = volume.startswith("/")
    size_bytes = properties.as_gib(new["gib"]) if new else properties.as_size(size or "0")
    disk = Disk(
        slot,
        "passthrough" if device else "disk",
        storage=None if device else volume.partition(":")[0],
        size_bytes=size_bytes or None,
        format=form or (None if device else format_of(volume)),
        volume=None if new else volume,
        import_from=options.pop("import-from", None),
        discard=None if discard is None else _DISCARD.read(discard),
        serial=None if serial is None else _SERIAL.read(serial),
        **_DISK.take(options),
    )
    return disk, properties.render("", dict(options))


def format_of(volume: str) -> str | None:
    """File storages show the format as the ending; block storages do not have one to tell."""
    ending = volume.rpartition(".")[2]
    return ending if ending in ("raw", "qcow2", "vmdk") else None


def encode_nic(nic: Nic, keep: str) -> str:
    """Write an interface; without a MAC address Proxmox makes a new one at each write."""
    model = f"{nic.model}={nic.mac}" if nic.mac else nic.model
    options = _NIC.write(nic)
    return properties.render(model, {**options, "firewall": "1" if nic.firewall else None}, keep)


def decode_nic(_key: str, text: str) -> Decoded:
    """Read an interface, in either of its notations."""
    options = properties.parse(text, "model")
    if "model" in options:
        model, mac = options.pop("model"), options.pop("macaddr", None)
    else:  # virtio=BC:24:11:…, first where Proxmox has written it
        model = next((name for name in options if name in NIC_MODELS), next(iter(options)))
        mac = options.pop(model)
    firewall = bool(properties.as_flag(options.pop("firewall", None)))
    taken = _NIC.take(options)
    bridge = taken.pop("bridge", "")
    mac = mac.upper() if mac else None
    nic = Nic(bridge=bridge, model=model, firewall=firewall, mac=mac, **taken)
    return nic, properties.render("", dict(options))


def encode_ipconfig(ip: IpConfig) -> str:
    """Write the addresses of an interface."""
    return properties.render("", {"ip": ip.ip, "gw": ip.gw, "ip6": ip.ip6, "gw6": ip.gw6})


def decode_ipconfig(_key: str, text: str) -> Decoded:
    """Read the addresses of an interface."""
    options = properties.parse(text, "ip")
    return IpConfig(*(options.get(name) for name in ("ip", "gw", "ip6", "gw6"))), ""
