"""What Proxmox's published schema refuses, a definition refuses first: rule by rule.

`cases/schema/vm.yaml` is the schema. Each of its rules is walked: it has a key, of which bad values
are refused with file, line and key, or it is unknown to definitions and refused as that.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from definition_strategies import documents
from hypothesis import given, settings
from plan_world import SITE

from stackyard.definitions.availability import HA
from stackyard.definitions.device_keys import FAMILIES
from stackyard.definitions.keys import DISK_KEYS, NIC_KEYS, VM_KEYS, Key
from stackyard.definitions.load import DefinitionsError, parse_vm
from stackyard.definitions.model import Reference
from stackyard.plan import TAG, Observed, ObservedVm, make_plan, render_text
from stackyard.plan.desired import desired_values
from stackyard.plan.values import Change
from stackyard.proxmox.ha import decode_ha
from stackyard.proxmox.wire import decode_pending, parameters

SCHEMA: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parent / "cases" / "schema" / "vm.yaml").read_text()
)
BASE: dict[str, Any] = {"name": "a", "target_node": "node01"}
# What another key of the same mapping has to say, so that a bad value is all that is wrong.
NEEDED: dict[str, dict[str, Any]] = {
    "numa[n]": {"cpus": "0"},
    "efidisk0": {"storage": "local"},
    "tpmstate0": {"storage": "local"},
    "virtiofs[n]": {"dirid": "share"},
    "net[n]": {"bridge": "vmbr0"},
    **{f"{bus}[n]": {"slot": f"{bus}0", "storage": "local", "size": "1G"}
       for bus in ("scsi", "virtio", "sata", "ide")},
}  # fmt: skip
# Bad values of the formats that the schema only names.
BAD: dict[str, tuple[Any, ...]] = {
    "address-list": ("x", "1.2.3", "1.1.1.1,x"),
    "disk-size": ("4GB", "-1G", "G"),
    "dns-name": ("my_vm", "-a", "a..b", "a b", "a-"),
    "mac-addr": ("BC:24:11", "01:00:00:00:00:00", "BC:24:11:00:00:0G"),
    "pve-bridge-id": ("a b", "a,b", "a/b"),
    "pve-configid": ("1a", "a b", "-a", "a,b"),
    "pve-cpuset": ("x", "0-", "1,,2", "0-3;8"),
    "pve-hotplug-features": ("x", ["network", "x"]),
    "pve-poolid": ("a b", "a,b", "ü", "a//b", "/a", "a/b/c/d"),
    "pve-qm-boot": ("x", "order=", "order=foo0", "order=scsi31", "cdrom"),
    "pve-qm-cicustom": ("x", {"user": "novolume"}, {"other": "local:snippets/a"}),
    "pve-qm-hostpci": ("x", {"host": "01"}, {"pcie": True}, {"mapping": "gpu", "vendor-id": "1"}),
    "pve-qm-ipconfig": (
        "ip=10.0.0.1", "10.0.0.1/24", "gw=10.0.0.1", "ip=10.0.0.1/24,dns=1.1.1.1",
        "ip6=10.0.0.1/24", "ip=fd00::1/64", "ip=10.0.0.1/33", "ip=auto", "",
    ),
    "pve-qm-rng": ("x", {"max_bytes": 5}, {"source": "/dev/urandom", "period": "x"}),
    "pve-qm-watchdog": ("x", {"action": "x"}, {"model": "i6300esb", "other": 1}),
    "pve-startup-order": ("x", {"order": -1}, {"up": "x"}),
    "pve-storage-id": ("1x", "a b", "a,b", "x-"),
    "pve-tag-list": ("-a", "a!", ["ok", "ü"]),
    "pve-vm-cpu-conf": ("a b", "host,flags=+aes", "-x"),
    "pve-vmid": ("x",),
    "pve-volume-id": ("novolume", "local:"),
    "pve-volume-id-or-absolute-path": ("novolume", "a b"),
    "urlencoded": (),  # encoded when it is written
}  # fmt: skip
OF_TYPE: dict[str, tuple[Any, ...]] = {
    "boolean": ("yes", "x", 2, -1, [], {}),
    "integer": ("x", "1.5", 1.5, True, [1]),
    "number": ("x", True, float("nan"), float("inf")),
    "text": (1, {"a": 1}),
}
TEXTS = ("", " ", "x,y", "a=b", "-1", "ü", "a\nb", "x" * 300, "/dev/ttyS0,x", "0x", "q35,x", "1-")
# Ours are other words: a switch, a list, a mapping of cloud-init's keys.
STRUCTURAL = {"file!", "model!", "current!", "enabled!"}


@dataclass(frozen=True)
class Leaf:
    """One rule, where it is in the schema, and the key that is for it, if any."""

    option: str
    name: str  # of the property, or empty
    rule: Any
    key: str | None

    def document(self, value: Any) -> dict[str, Any]:
        """Return a definition that says this and is right otherwise."""
        number = self.option.replace("[n]", "0")
        if not self.name or self.name in STRUCTURAL:
            return {**BASE, self.key or number: value}
        content = {**NEEDED.get(self.option, {}), self.key or self.name.rstrip("!"): value}
        if "slot" in content:
            return {**BASE, "disks": [content]}
        if self.option == "net[n]":
            return {**BASE, "networks": [content]}
        return {**BASE, number: content}


def names(keys: tuple[Key, ...]) -> dict[str, str]:
    return {key.option or key.name: key.name for key in reversed(keys)}


TABLES = {
    **{f"{family.name}[n]" if family.count > 1 else family.numbers[0]: names(family.keys)
       for family in (*FAMILIES, HA)},
    "net[n]": names(NIC_KEYS),
    **{f"{bus}[n]": names(DISK_KEYS) for bus in ("scsi", "virtio", "sata", "ide")},
}  # fmt: skip
OWN = {**names(VM_KEYS), "ipconfig[n]": "ipconfig0", "serial[n]": "serial0"}
OWN |= {option: option.replace("[n]", "0") for option in TABLES if option not in OWN}


def leaves() -> Iterator[Leaf]:
    for option, rule in SCHEMA["parameters"].items():
        if isinstance(rule, dict) and "of" in rule:
            table = TABLES.get(option, {})
            for name, inner in rule["of"].items():
                key = OWN.get(option) if name in STRUCTURAL else table.get(name.rstrip("!"))
                yield Leaf(option, name, inner, key)
        else:
            yield Leaf(option, "", rule, OWN.get(option))
    for name, rule in SCHEMA["ha"].items():
        yield Leaf("ha", name, rule, TABLES["ha"].get(name))


LEAVES = {f"{leaf.option}.{leaf.name}".rstrip("."): leaf for leaf in leaves()}
WALKED = {
    name: leaf
    for name, leaf in LEAVES.items()
    if leaf.key and leaf.name not in ("file!", "model!") and leaf.option != "unused[n]"
}
UNKNOWN = {name: leaf for name, leaf in LEAVES.items() if not leaf.key}


def bad_values(rule: Any) -> Iterator[Any]:
    if isinstance(rule, str):
        yield from OF_TYPE[rule]
        return
    if isinstance(rule, list):
        yield from ("nonsense", rule[0].upper() + "x", 7, ["nonsense"])
        return
    yield from OF_TYPE[rule.get("type", "text")] if not {"format", "pattern"} & set(rule) else ()
    yield from BAD[rule["format"]] if "format" in rule else ()
    yield from (rule["from"] - 1,) if "from" in rule else ()
    yield from (rule["to"] + 1,) if "to" in rule else ()
    yield from ("x" * (rule["longest"] + 1),) if "longest" in rule else ()
    if "pattern" in rule:
        yield from (text for text in TEXTS if not re.fullmatch(rule["pattern"], text))


def refusal(document: dict[str, Any]) -> str:
    """Return the mistakes of a definition; empty where it has none."""
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    try:
        parse_vm(text, "vms/a.yaml")
    except DefinitionsError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", sorted(WALKED))
def test_what_the_schema_refuses_is_refused_with_its_place(name: str) -> None:
    leaf = WALKED[name]
    for value in bad_values(leaf.rule):
        document = leaf.document(value)
        said = refusal(document)
        assert said, f"{name}: {value!r} is taken"
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True).splitlines()
        key = leaf.key or ""
        lines = [n for n, line in enumerate(text, 1) if line.lstrip(" -").startswith(f"{key}:")]
        assert any(
            said_line.startswith(f"vms/a.yaml:{n}: ") and key in said_line
            for said_line in said.splitlines()
            # What is wrong inside of a value has a line of its own.
            for n in range(lines[-1], (len(text) if isinstance(value, dict) else lines[-1]) + 1)
        ), f"{name}: {value!r}: {said}"


@pytest.mark.parametrize("name", sorted(UNKNOWN))
def test_what_has_no_key_is_refused_as_unknown(name: str) -> None:
    leaf = UNKNOWN[name]
    said = refusal(leaf.document("x"))
    assert "unknown key" in said or leaf.option == "agent", said


def wrong(rule: Any, text: str) -> bool:
    """Tell whether the schema refuses a value as it is written, as far as it says so."""
    if isinstance(rule, list):
        return text not in rule
    plain = rule if isinstance(rule, dict) else {"type": rule}
    if "of" in plain:
        return any(_wrong_part(plain, part) for part in text.split(","))
    forms = {"boolean": "[01]", "integer": r"-?\d+", "number": r"-?\d+(\.\d+)?"}
    kind = plain.get("type", "text")
    if not re.fullmatch(plain.get("pattern", "(?s).*"), text):
        return True
    if kind in forms and not re.fullmatch(forms[kind], text):
        return True
    if kind in ("integer", "number"):
        low, high = plain.get("from", float("-inf")), plain.get("to", float("inf"))
        return not bool(low <= float(text) <= high)
    return len(text) > int(plain.get("longest", len(text)))


def _wrong_part(rule: dict[str, Any], part: str) -> bool:
    name, sign, value = part.partition("=")
    models = rule["of"].get("model!", ())
    if not sign:
        name, value = rule["first"], part
    elif name in models:  # virtio=BC:24:11:…
        name = "macaddr"
    inner = rule["of"].get(name, rule["of"].get(f"{name}!"))
    return inner is None or wrong(inner, value)


@settings(max_examples=100)
@given(documents())
def test_what_a_definition_takes_the_schema_takes(document: dict[str, Any]) -> None:
    definition = parse_vm(yaml.safe_dump(document))
    changes = (
        Change(key, None, "secret" if isinstance(value, Reference) else value)
        for key, value in desired_values(definition).items()
    )
    for name, value in parameters(tuple(changes)).items():
        option = name if name in SCHEMA["parameters"] else re.sub(r"\d+$", "[n]", name)
        assert not wrong(SCHEMA["parameters"][option], str(value)), f"{name}: {value}"


def plain_default(option: str, value: Any) -> Any:
    return value.split(",") if option == "hotplug" else value


DEFAULTED = {
    name: SCHEMA["defaults"][name.rstrip("!")]
    for name, leaf in WALKED.items()
    if name.rstrip("!") in SCHEMA["defaults"] and leaf.option != "ha"
}


@pytest.mark.parametrize("name", sorted(DEFAULTED))
def test_what_is_so_by_default_is_no_change(name: str) -> None:
    leaf = WALKED[name]
    value = plain_default(name, DEFAULTED[name])
    document, there = leaf.document(value), leaf.document(None)
    if leaf.option == "usb[n]":  # a device is by its address or by a mapping
        document["usb0"]["mapping"] = there["usb0"]["mapping"] = "stick"
    found = desired_values(parse_vm(yaml.safe_dump(there)))
    wire = parameters(tuple(Change(key, None, item) for key, item in found.items()))
    if not leaf.name or leaf.name in STRUCTURAL:
        wire.pop(leaf.option, None)
    rows: list[dict[str, object]] = [{"key": key, "value": item} for key, item in wire.items()]
    tags = (TAG,)
    vm = ObservedVm(100, "node01", "a", tags=tags, config=decode_pending(rows))

    plan = make_plan((parse_vm(yaml.safe_dump(document)),), Observed({"node01": True}, (vm,)), SITE)
    assert plan.is_empty, render_text(plan)


def test_a_resource_of_ha_is_as_the_schema_says_by_default() -> None:
    told = {key: value for key, value in SCHEMA["defaults"].items() if key.startswith("ha.")}
    assert told == {f"ha.{key}": v for key, v in asdict(decode_ha({})).items() if v is not None}
