"""Definitions for hypothesis, made from the table of keys: all keys, and values of each kind."""

from typing import Any

import yaml
from hypothesis import strategies as st

from stackyard.definitions.availability import HA
from stackyard.definitions.device_keys import FAMILIES, SERIAL_KEY, SERIAL_PORTS, Family
from stackyard.definitions.keys import (
    BUSES_OF,
    DISK_OPTION_KEYS,
    FILE_KEY,
    ISO_KEY,
    NIC_KEYS,
    REQUIRED,
    VM_KEYS,
    Key,
)
from stackyard.definitions.limits import contradictions

Plain = dict[str, Any]
SLOTS = (
    *(f"scsi{n}" for n in range(31)),
    *(f"virtio{n}" for n in range(16)),
    *(f"sata{n}" for n in range(6)),
    *(f"ide{n}" for n in range(4)),
)
TEXTS = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=["Cc", "Cs"]),
    min_size=1,
    max_size=30,
)
ADDRESSES = st.sampled_from(["192.168.1.3", "1.1.1.1", "fd00::3"])
PUBLIC_KEY = st.sampled_from(["ssh-ed25519 AAAA+/b= me+tag@host", "ssh-rsa AAAA\nssh-rsa BBBB x y"])
NUMBERS = st.integers(0, 64) | st.floats(0, 64, allow_subnormal=False)
IPV4 = st.tuples(st.ip_addresses(v=4), st.integers(8, 32)).map(lambda pair: f"{pair[0]}/{pair[1]}")
IPV6 = st.tuples(st.ip_addresses(v=6), st.integers(8, 128)).map(lambda pair: f"{pair[0]}/{pair[1]}")


def ranges(key: Key) -> st.SearchStrategy[str]:
    low, high = key.minimum or 0, key.maximum or 200
    pair = st.tuples(st.integers(low, high), st.integers(low, high)).map(sorted)
    part = pair.map(lambda p: f"{p[0]}-{p[1]}") | st.integers(low, high).map(str)
    return st.lists(part, min_size=1, max_size=3).map((key.pattern or ",").join)


# Of patterns that hypothesis is slow with.
SAMPLES = {
    "name": ["a", "k8s-a.example.lan", "x" * 63, "0-9"],
    "clone": ["ubuntu24-template", "t"],
    "searchdomain": ["example.lan", "a.b,c.d", "lan example.lan; x"],
    "boot": ["order=scsi0;net0", "cdn", "legacy=c", "order=hostpci15;usb13;net31;scsi30"],
    "pool": ["k8s", "k8s_x.y-z", "k8s/dev/x"],
}


def texts(key: Key) -> st.SearchStrategy[str]:
    if key.choices:
        return st.sampled_from(key.choices)
    if key.name in SAMPLES:
        return st.sampled_from(SAMPLES[key.name])
    if not key.pattern:
        return TEXTS
    found = st.from_regex(f"({key.pattern})", fullmatch=True, alphabet=st.characters(codec="ascii"))
    return found.filter(lambda text: text.isprintable() and len(text) <= (key.longest or 60))


def values_of(key: Key) -> st.SearchStrategy[Any]:
    """Values that a key takes."""
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "integer": st.integers(key.minimum or 0, key.maximum or 1 << 20),
        "number": NUMBERS,
        "boolean": st.booleans(),
        "switch": st.booleans() | st.sampled_from([0, 1]),
        "map": st.just({"a": 1}),
        "keys": PUBLIC_KEY,
        "secret": st.just({"env": "A_SECRET"}),
        "addresses": st.lists(ADDRESSES, min_size=1, max_size=2),
    }
    if key.type == "ranges":
        return ranges(key)
    if key.type == "list":
        return st.lists(texts(key), min_size=1, max_size=3, unique=True)
    return kinds[key.type] if key.type in kinds else texts(key)


def mapping_of(keys: tuple[Key, ...]) -> st.SearchStrategy[Plain]:
    return st.fixed_dictionaries(
        {key.name: values_of(key) for key in keys if key.default is REQUIRED},
        optional={key.name: values_of(key) for key in keys if key.default is not REQUIRED},
    )


def device_of(family: Family) -> st.SearchStrategy[Any]:
    def one(plain: Plain) -> Plain:
        given_keys = [name for name in family.one_of if name in plain]
        return {name: value for name, value in plain.items() if name not in given_keys[1:]}

    return (
        mapping_of(family.keys)
        .map(one)
        .filter(
            lambda plain: (
                bool(plain) and (not family.one_of or bool(set(family.one_of) & set(plain)))
            )
        )
    )


@st.composite
def disks(draw: st.DrawFn) -> list[Plain]:
    """Disks in different slots, with options that their buses and media have."""
    found = []
    media = ["disk", "disk", "imported", "passthrough", "cdrom"]
    for slot in draw(st.lists(st.sampled_from(SLOTS), max_size=4, unique=True)):
        bus = slot.rstrip("0123456789")
        keys = [key for key in DISK_OPTION_KEYS if bus in BUSES_OF.get(key.name, (bus,))]
        options = draw(mapping_of(tuple(keys)))
        while wrong := [name for name, _why in contradictions(options)]:
            options = {name: value for name, value in options.items() if name not in wrong}
        size = draw(st.integers(1, 2000).map("{}G".format) | st.sampled_from(["9.1G", "7M", "4"]))
        stored = {"storage": draw(st.sampled_from(["local-lvm", "data2"])), "size": size}
        kind = draw(st.sampled_from(media[:-1] if bus == "virtio" else media))
        if kind == "disk":
            found.append({"slot": slot, **stored, **options})
        elif kind == "imported":
            source = draw(st.sampled_from(["local:import/a.qcow2", "/srv/a.qcow2"]))
            found.append({"slot": slot, **stored, "import-from": source, **options})
        elif kind == "passthrough":
            file = draw(texts(FILE_KEY))
            found.append({"slot": slot, "type": kind, "file": file, **options})
        else:
            found.append({"slot": slot, "type": kind, "iso": draw(texts(ISO_KEY))})
    return found


IPCONFIGS = st.one_of(
    IPV4.map("ip={}".format),
    IPV6.map("ip6={}".format),
    st.tuples(IPV4, st.ip_addresses(v=6)).map(lambda p: f"ip={p[0]},ip6={p[1]}/64,gw6=fe80::1"),
    st.sampled_from(["ip=dhcp", "ip6=auto", "ip=dhcp,ip6=dhcp", "ip=10.0.0.2/24,gw=10.0.0.1"]),
)
DEVICES = {name: device_of(family) for family in FAMILIES for name in family.numbers[:2]}


@st.composite
def documents(draw: st.DrawFn) -> Plain:
    """A definition with any of the keys there are."""
    own = tuple(key for key in VM_KEYS if key.name not in ("name", "target_node", "balloon"))
    chosen = draw(st.lists(st.sampled_from(own), max_size=8, unique=True))
    document = {key.name: draw(values_of(key)) for key in chosen}
    for name in draw(st.lists(st.sampled_from(sorted(DEVICES)), max_size=4, unique=True)):
        document[name] = draw(DEVICES[name])
    for name in draw(st.lists(st.sampled_from(SERIAL_PORTS), max_size=2, unique=True)):
        document[name] = draw(texts(SERIAL_KEY))
    if document.get("template"):
        document.pop("vm_state", None)
    if "template" not in document and "vm_state" not in document and draw(st.booleans()):
        document["ha"] = draw(device_of(HA))
        if document["ha"].get("state") == "none":
            document["ha"] = "none"
    document["disks"] = draw(disks())
    document["networks"] = draw(st.lists(mapping_of(NIC_KEYS), max_size=2))
    cards = len(document["networks"]) or 32  # none named: they are those that are there
    for number in draw(st.lists(st.integers(0, cards - 1), max_size=2, unique=True)):
        document[f"ipconfig{number}"] = draw(IPCONFIGS)
    return {**document, "name": draw(values_of(VM_KEYS[0])), "target_node": "node01"}


MERGE = "<<"
UNKNOWN = ("x", "password", "ipconfig99")
SCALARS = st.none() | st.booleans() | st.integers() | st.sampled_from(["", "ip=dhcp", "1G"])


@st.composite
def merging(draw: st.DrawFn, value: Any, deepest: int = 2) -> Any:
    """A value with `<<` in any of its mappings, of keys it has, near ones and unknown ones."""
    if isinstance(value, list):
        return [draw(merging(item, deepest)) for item in value]
    if not isinstance(value, dict):
        return value
    own, merged = dict(value), []
    names = st.sampled_from([*own, *(key[1:] + key[:1] for key in own), *UNKNOWN])
    for _ in range(draw(st.integers(0, 2)) if deepest else 0):
        below = draw(st.dictionaries(names, SCALARS, max_size=2))
        for key in draw(st.lists(st.sampled_from(sorted(own)), max_size=2)) if own else ():
            if key in own:  # it is merged instead of being there
                below[key] = own.pop(key)
        merged.append(draw(merging(below, deepest - 1)))
    found = {key: draw(merging(item, deepest)) for key, item in own.items()}
    if not merged:
        return found
    return {MERGE: merged if len(merged) > 1 or draw(st.booleans()) else merged[0], **found}


def flat(value: Any) -> Any:
    """The value as YAML reads it: own keys go before merged ones, and of a list the first."""
    if isinstance(value, list):
        return [flat(item) for item in value]
    if not isinstance(value, dict):
        return value
    below = value.get(MERGE, [])
    found: Plain = {}
    for mapping in reversed(below if isinstance(below, list) else [below]):
        found |= flat(mapping)
    return found | {key: flat(item) for key, item in value.items() if key != MERGE}


def dump(value: Any) -> str:
    """The value as YAML, its keys as they are and `<<` as what it means."""
    return str(yaml.safe_dump(value, sort_keys=False)).replace(f"'{MERGE}':", f"{MERGE}:")
