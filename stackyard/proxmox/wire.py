"""The model's values and Proxmox's, both ways, by family of keys: `decode(encode(x)) == x`.

Names and types are those of the table that definitions are checked with; facts of notation are
those of qm.conf(5): what is absent there is absent here.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, unquote

from stackyard.definitions.device_keys import FAMILY_OF, SERIAL_PORTS
from stackyard.definitions.disks import ANY_SLOT
from stackyard.definitions.hardware import Device
from stackyard.definitions.keys import OPTION_KEYS
from stackyard.definitions.model import Disk, IpConfig, Nic
from stackyard.plan.hotplug import DEFAULT
from stackyard.plan.observed import BOOT_DISK, MARK, SNAPSHOT, UNUSED, Config
from stackyard.plan.values import Change, Value
from stackyard.proxmox import devices, hardware, properties
from stackyard.proxmox.devices import Decoded

Wire = str | int
Decoder = Callable[[str, str], Decoded]

_NAMES = {key.name: key.option for key in OPTION_KEYS if key.option and key.name != "cpu_flags"}
_OURS = {wire: name for name, wire in _NAMES.items()}
_MOST_UNUSED = 256
_IDENTITY = ("smbios1", "meta")  # Proxmox gives them to each VM when it makes it
_NETWORK = re.compile(r"net\d+")
_IPCONFIG = re.compile(r"ipconfig\d+")


def encode(change: Change) -> tuple[str, Wire]:
    """Return the parameter that sets a key to what the change wants it to be."""
    return _NAMES.get(change.key, change.key), _encode(change.key, change.after, change.keep)


def parameters(changes: tuple[Change, ...]) -> dict[str, Wire]:
    """Return the parameters of one write: what is set, and under `delete` what is not any more."""
    wire = dict(encode(change) for change in changes if change.after is not None)
    gone = [_NAMES.get(c.key, c.key) for c in changes if c.after is None]
    if gone:
        wire["delete"] = ",".join(gone)
    return wire


def decode(key: str, value: object) -> tuple[str, Decoded] | None:
    """Return our key, its value and its unknown options, or None for a key we have no name for."""
    name, text = _OURS.get(key, key), str(value)
    decoder = _DECODERS.get(name) or _decoder_of_family(name)
    return (name, decoder(name, text)) if decoder else None


def tags_of(config: Mapping[str, object]) -> tuple[str, ...]:
    """Return the tags in a configuration as Proxmox answers it."""
    return _decode_tags("tags", str(config.get("tags", "")))[0]


def identity_of(config: Mapping[str, object]) -> str:
    """Return what tells a VM from one that got its VMID, in a configuration as Proxmox answers."""
    return " ".join(str(config.get(key)) for key in _IDENTITY)


def decode_pending(rows: list[dict[str, object]]) -> Config:
    """Read `GET …/pending`: the configuration as it is after the next restart.

    A row has `value` (what runs), `pending` (what waits) or `delete` (waits to be removed).
    """
    values: dict[str, Value] = {}
    keep: dict[str, str] = {}
    running: dict[str, Value] = {}
    pending = set()
    for row in rows:
        key = str(row["key"])
        if "pending" in row or "delete" in row:
            name = _OURS.get(key, key)
            pending.add(name)
            there = decode(key, row["value"]) if "value" in row else None
            if there:  # its own options too, for a removal that is taken back
                name, (running[name], keep[name]) = there
        after = row.get("pending", row.get("value"))
        decoded = None if "delete" in row or after is None else decode(key, after)
        if decoded:
            name, (values[name], keep[name]) = decoded
    plain = {str(row["key"]): str(row["value"]) for row in rows if "value" in row}
    return Config(
        digest=plain.get("digest"),
        lock=plain.get("lock"),
        fingerprint=_fingerprint(rows),
        identity=identity_of({str(r["key"]): r.get("pending", r.get("value")) for r in rows}),
        values=values,
        keep={k: v for k, v in keep.items() if v},
        pending=frozenset(pending),
        running=running,
    )


def _fingerprint(rows: list[dict[str, object]]) -> str:
    """Return a digest of all that a lock, which comes and goes by itself, does not change."""
    told = {str(row["key"]): row for row in rows if row["key"] not in ("digest", "lock")}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _encode(key: str, value: Value, keep: str) -> Wire:
    if isinstance(value, Disk | Nic | IpConfig | Device):
        return _encode_device(key, value, keep)
    if key in _ENCODERS:
        return properties.render(_ENCODERS[key](value), {}, keep)
    if isinstance(value, float):
        return properties.number(value)
    return int(value) if isinstance(value, int) else properties.render(str(value), {}, keep)


def _encode_device(key: str, value: Disk | Nic | IpConfig | Device, keep: str) -> str:
    if isinstance(value, Disk):
        return devices.encode_disk(value, keep)
    if isinstance(value, Nic):
        return devices.encode_nic(value, keep)
    if isinstance(value, IpConfig):
        return devices.encode_ipconfig(value)
    return hardware.encode_device(key, value, keep)


_ENCODERS: Mapping[str, Callable[[Value], str]] = {
    "agent": lambda value: f"enabled={int(bool(value))}",
    "hotplug": lambda value: (",".join(value) if isinstance(value, tuple) else "") or "0",
    "sshkeys": lambda value: quote(str(value), safe=""),
    "tags": lambda value: ";".join(value) if isinstance(value, tuple) else "",
}


def _decode_first(default_key: str, read: Callable[[str], Value]) -> Decoder:
    def decoder(_key: str, text: str) -> Decoded:
        options = properties.parse(text, default_key)
        first = options.pop(default_key, "")
        return read(first), properties.render("", dict(options))

    return decoder


def _decode_tags(_key: str, text: str) -> tuple[tuple[str, ...], str]:
    return tuple(sorted(tag for tag in re.split(r"[;, ]+", text) if tag)), ""


def _decode_hotplug(_key: str, text: str) -> Decoded:
    """Read the features; 0 and 1 stand for none and for the usual ones."""
    short: Mapping[str, tuple[str, ...]] = {"0": (), "1": DEFAULT}
    return short.get(text, tuple(part for part in re.split(r"[;, ]+", text) if part)), ""


def _decode_plain(read: Callable[[str], Value]) -> Decoder:
    return lambda _key, text: (read(text), "")


def _decoder_of_family(name: str) -> Decoder | None:
    if ANY_SLOT.fullmatch(name):
        return devices.decode_disk
    if _NETWORK.fullmatch(name):
        return devices.decode_nic
    if name in FAMILY_OF:
        return hardware.decode_device
    return devices.decode_ipconfig if _IPCONFIG.fullmatch(name) else None


_DECODERS: Mapping[str, Decoder] = {
    **{
        key.name: _decode_plain(properties.CODECS[key.type].read)
        for key in OPTION_KEYS
        if key.type in properties.CODECS
    },
    **dict.fromkeys(SERIAL_PORTS, _decode_plain(str)),
    MARK: _decode_plain(properties.as_flag),
    BOOT_DISK: _decode_plain(str),
    SNAPSHOT: _decode_plain(str),
    **{f"{UNUSED}{number}": _decode_plain(str) for number in range(_MOST_UNUSED)},
    "memory": _decode_first("current", int),
    "cpu_type": hardware.decode_cpu,
    "agent": _decode_first("enabled", properties.as_flag),
    "hotplug": _decode_hotplug,
    "tags": _decode_tags,
    "sshkeys": _decode_plain(unquote),
    "cipassword": _decode_plain(str),  # stars: Proxmox never shows it
}
