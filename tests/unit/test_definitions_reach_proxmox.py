"""What definitions accept, Proxmox accepts: checked by the lab's own idea of Proxmox's schema."""

from dataclasses import asdict, replace
from typing import Any

import yaml
from definition_strategies import Plain, device_of, documents, values_of
from hypothesis import given, settings
from hypothesis import strategies as st

from stackyard.definitions.availability import HA
from stackyard.definitions.device_keys import FAMILIES, Family
from stackyard.definitions.keys import DISK_KEYS, NIC_KEYS, VM_KEYS, Key
from stackyard.definitions.load import DefinitionsError, parse_vm
from stackyard.definitions.model import Definition, Reference
from stackyard.lab.api.faults import ApiError
from stackyard.lab.api.parameters import ADD_HA, CREATE, check
from stackyard.plan.desired import desired_values
from stackyard.plan.values import Change
from stackyard.proxmox.ha import decode_ha, encode_ha
from stackyard.proxmox.wire import decode, encode, parameters

ANYTHING = st.one_of(
    st.text(max_size=12),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.lists(st.text(max_size=5), max_size=2),
    st.sampled_from(["0", "-1", "a,b=c", "x\ny", "on", " ", "a;b", "=", "٣", "1-", "é"]),
)


def refusals(definition: Definition) -> str:
    """Return what Proxmox says to the creation of a VM; empty where it takes it."""
    values = desired_values(definition)
    changes = tuple(
        Change(key, None, "a password" if isinstance(value, Reference) else value)
        for key, value in values.items()
    )
    wire = {key: str(value) for key, value in parameters(changes).items()}
    try:
        check({"vmid": "100", **wire}, CREATE)
        if definition.ha and definition.ha.state != "none":
            check({"sid": "vm:100", **encode_ha(definition.ha)}, ADD_HA)
    except ApiError as error:
        return f"{error} {error.errors} {wire}"
    return ""


def accepted(document: Plain) -> Definition | None:
    text = yaml.safe_dump(document, allow_unicode=True)
    try:
        return parse_vm(text)
    except DefinitionsError:
        return None


@settings(max_examples=60)
@given(documents())
def test_a_good_definition_is_accepted_by_both(document: Plain) -> None:
    definition = parse_vm(yaml.safe_dump(document))
    assert refusals(definition) == ""


@settings(max_examples=60)
@given(documents())
def test_every_value_of_a_definition_reads_back_as_it_was_written(document: Plain) -> None:
    definition = parse_vm(yaml.safe_dump(document))
    for key, value in desired_values(definition).items():
        if isinstance(value, Reference):
            continue
        wire_key, text = encode(Change(key, None, value))
        decoded = decode(wire_key, text)
        assert decoded is not None, key
        name, (found, unknown) = decoded
        assert (name, unknown) == (key, "")
        assert found == written(value)


@given(device_of(HA).filter(lambda plain: plain.get("state") != "none"))
def test_a_resource_reads_back_as_it_was_written(plain: Plain) -> None:
    ha = parse_vm(yaml.safe_dump({"name": "a", "target_node": "n", "ha": plain})).ha
    assert ha is not None
    given = {name: value for name, value in asdict(ha).items() if value is not None}
    assert decode_ha(encode_ha(ha)) == replace(decode_ha({}), **given)


def written(value: Any) -> Any:
    """Return a value as it stands in a first write: an import's size comes after it."""
    imported = getattr(value, "import_from", None)
    return replace(value, size_bytes=None) if imported else value


def placed(key: Key, value: Any) -> Plain:
    return {"name": "a", "target_node": "n", key.name: value}


@settings(max_examples=500)
@given(st.sampled_from(VM_KEYS), st.data())
def test_what_a_key_does_not_take_never_reaches_proxmox(key: Key, data: st.DataObject) -> None:
    value = data.draw(ANYTHING | values_of(key))
    definition = accepted(placed(key, value))
    if definition is not None and not isinstance(definition.sshkeys, Reference):
        assert refusals(definition) == ""


@settings(max_examples=300)
@given(st.sampled_from((*DISK_KEYS, *NIC_KEYS)), st.data())
def test_what_a_disk_or_card_does_not_take_never_reaches_proxmox(
    key: Key, data: st.DataObject
) -> None:
    value = data.draw(ANYTHING | values_of(key))
    document: Plain = {"name": "a", "target_node": "n"}
    if key in DISK_KEYS:
        slot = data.draw(st.sampled_from(["scsi0", "virtio0", "sata0", "ide0"]))
        document["disks"] = [{"slot": slot, "storage": "data2", "size": "8G", key.name: value}]
    else:
        document["network"] = {"bridge": "vmbr0", key.name: value}
    definition = accepted(document)
    if definition is not None:
        assert refusals(definition) == ""


@settings(max_examples=400)
@given(st.sampled_from((*FAMILIES, HA)), st.data())
def test_what_a_device_does_not_take_never_reaches_proxmox(
    family: Family, data: st.DataObject
) -> None:
    key = data.draw(st.sampled_from(family.keys))
    needed = {k.name: data.draw(values_of(k)) for k in family.keys if k.default is ...}
    value = data.draw(ANYTHING | values_of(key))
    content = data.draw(st.sampled_from([value, {**needed, key.name: value}]))
    definition = accepted({"name": "a", "target_node": "n", family.numbers[-1]: content})
    if definition is not None:
        assert refusals(definition) == ""


@settings(max_examples=60)
@given(st.text(max_size=20) | st.sampled_from(["1.2.3.4/0", "fe80::1%eth0", "::1/64", "1.1.1.1/٣"]))
def test_what_is_no_address_never_reaches_proxmox(text: str) -> None:
    for value in (text, f"ip={text}", f"ip=10.0.0.2/24,gw={text}", f"ip6={text}/64"):
        definition = accepted({"name": "a", "target_node": "n", "ipconfig0": value})
        if definition is not None:
            assert refusals(definition) == ""
