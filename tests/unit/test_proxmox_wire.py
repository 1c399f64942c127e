"""Proxmox's notations: what is read, what is written, and that both are the same."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackyard.definitions.hardware import Cpu, EfiDisk, TpmState, Usb
from stackyard.definitions.model import Disk, IpConfig, Nic
from stackyard.plan.values import Change, Value
from stackyard.proxmox import properties
from stackyard.proxmox.wire import decode, decode_pending, encode, parameters

words = st.text("abcdefghijklmnop0123456789-", min_size=1, max_size=8)
names = st.from_regex(r"[a-z][a-z0-9-]{0,9}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=40)
maybe_flag = st.none() | st.booleans()
slots = st.sampled_from(["scsi0", "scsi30", "virtio15", "sata5", "ide3"])
sizes = st.integers(1, 1 << 45)
macs = st.from_regex(r"([0-9A-F]{2}:){5}[0-9A-F]{2}", fullmatch=True)
addresses = st.none() | st.sampled_from(["10.0.0.2/24", "dhcp", "fd00::2/64", "auto"])
formats = st.none() | st.sampled_from(["raw", "qcow2", "vmdk"])
options: Callable[..., Any] = lambda **more: st.fixed_dictionaries(  # noqa: E731
    dict.fromkeys(("backup", "discard", "iothread", "replicate", "ssd"), maybe_flag)
    | {"cache": st.none() | st.sampled_from(["none", "writeback"]), "slot": slots, **more}
)

new_disks = options(media=st.just("disk"), storage=names, size_bytes=sizes, format=formats).map(
    lambda values: Disk(**values)
)
real_disks = options(
    media=st.just("disk"), storage=names, size_bytes=sizes, number=st.integers(0, 9)
).map(lambda v: Disk(**{**_volume(v), "volume": f"{v['storage']}:vm-100-disk-{v['number']}"}))
passed = options(media=st.just("passthrough"), volume=names.map("/dev/disk/by-id/{}".format)).map(
    lambda values: Disk(**values)
)
isos = st.builds(
    Disk, slot=slots, media=st.just("iso"), volume=names.map("local:iso/{}.iso".format)
)
cloudinits = st.builds(Disk, slot=slots, media=st.just("cloudinit"), storage=names, format=formats)
disks = new_disks | real_disks | passed | isos | cloudinits
nics = st.builds(
    Nic,
    bridge=names,
    model=st.sampled_from(["virtio", "e1000", "vmxnet3"]),
    firewall=st.booleans(),
    mac=st.none() | macs,
    vlan=st.none() | st.integers(1, 4094),
    mtu=st.none() | st.integers(1, 65520),
)
ipconfigs = st.builds(IpConfig, addresses, addresses, addresses, addresses).filter(
    lambda ip: ip != IpConfig()
)
scalars = st.one_of(
    st.tuples(st.sampled_from(["cores", "sockets", "memory", "balloon"]), st.integers(1, 1 << 20)),
    st.tuples(st.sampled_from(["onboot", "numa", "protection", "agent"]), st.booleans()),
    st.tuples(st.sampled_from(["name", "scsihw", "ciuser", "boot"]), names),
    st.tuples(st.sampled_from(["sshkeys", "description"]), texts),
    st.tuples(st.just("tags"), st.sets(names, min_size=1).map(lambda t: tuple(sorted(t)))),
    st.tuples(st.just("cpu_type"), st.builds(Cpu, names)),
)
devices = st.one_of(
    disks.map(lambda disk: (disk.slot, disk)),
    st.tuples(st.sampled_from(["net0", "net31"]), nics),
    st.tuples(st.sampled_from(["ipconfig0", "ipconfig31"]), ipconfigs),
)


def _volume(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != "number"}


@given(scalars | devices)
def test_what_is_written_reads_back(item: tuple[str, Value]) -> None:
    key, value = item
    wire_key, text = encode(Change(key, None, value))
    assert decode(wire_key, text) == (key, (value, ""))


@given(disks.map(lambda disk: (disk.slot, disk)) | st.tuples(st.just("net0"), nics))
def test_options_nobody_knows_are_kept(item: tuple[str, Value]) -> None:
    key, value = item
    wire_key, text = encode(Change(key, None, value, keep="x-new=5,other=4"))
    assert decode(wire_key, text) == (key, (value, "x-new=5,other=4"))


@given(sizes)
def test_sizes_read_back(size_bytes: int) -> None:
    assert properties.as_size(properties.size(size_bytes)) == size_bytes
    assert properties.as_gib(properties.gib(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("scsi0", "local:100/vm-100-disk-0.raw,size=8G", ("scsi0", "local", 8 << 30, "raw")),
        ("scsi1", "data2:vm-1-disk-0,size=2252M", ("scsi1", "data2", 2252 << 20, None)),
        ("virtio0", "data2:2,format=qcow2", ("virtio0", "data2", 2 << 30, "qcow2")),
    ],
)
def test_recorded_disks(key: str, text: str, expected: tuple[object, ...]) -> None:
    decoded = decode(key, text)
    assert decoded is not None
    disk = decoded[1][0]
    assert isinstance(disk, Disk)
    assert (disk.slot, disk.storage, disk.size_bytes, disk.format) == expected


@pytest.mark.parametrize(
    "text", ["data2:110/vm-110-cloudinit.qcow2,media=cdrom,size=4M", "data2:cloudinit"]
)
def test_cloud_init_drives_are_known_before_and_after_they_are_made(text: str) -> None:
    decoded = decode("ide2", text)
    assert decoded == ("ide2", (Disk("ide2", "cloudinit", storage="data2"), ""))


@pytest.mark.parametrize(
    ("key", "text", "value", "unknown"),
    [
        ("cpu", "host,flags=+aes;-pcid,hidden=1", Cpu("host", ("+aes", "-pcid")), "hidden=1"),
        ("cpu", "cputype=kvm64", Cpu("kvm64"), ""),
        ("usb0", "1234:5678", Usb(host="1234:5678"), ""),
        ("usb0", "host=spice,usb3=1", Usb(host="spice", usb3=True), ""),
        (
            "efidisk0",
            "data2:vm-1-disk-0,efitype=4m,pre-enrolled-keys=1,size=4M",
            EfiDisk("data2", None, "4m", pre_enrolled_keys=True, volume="data2:vm-1-disk-0"),
            "",
        ),
        ("tpmstate0", "data2:1,version=v2.0", TpmState("data2", "v2.0"), ""),
        (  # in whatever order somebody wrote it into the VM's file
            "net0",
            "bridge=vmbr0,host-tunnel=1,virtio=BC:24:11:00:00:01,tag=7",
            Nic("vmbr0", mac="BC:24:11:00:00:01", vlan=7),
            "host-tunnel=1",
        ),
    ],
)
def test_devices_are_read_in_all_their_forms(
    key: str, text: str, value: Value, unknown: str
) -> None:
    decoded = decode(key, text)
    assert decoded is not None
    assert decoded[1] == (value, unknown)


@pytest.mark.parametrize("text", ["1", "enabled=1", "1,fstrim_cloned_disks=1"])
def test_agent_is_read_in_all_its_forms(text: str) -> None:
    decoded = decode("agent", text)
    assert decoded is not None
    assert decoded[1][0] is True


def test_keys_that_are_sshkeys_are_percent_encoded_without_exception() -> None:
    key, text = encode(Change("sshkeys", None, "ssh-ed25519 AA/A+ me@host"))
    assert (key, text) == ("sshkeys", "ssh-ed25519%20AA%2FA%2B%20me%40host")


def test_one_write_sets_and_deletes() -> None:
    changes = (
        Change("memory", 512, 1024),
        Change("cpu_type", None, Cpu("host")),
        Change("ide2", 1, None),
    )
    assert parameters(changes) == {"memory": 1024, "cpu": "host", "delete": "ide2"}


def test_pending_values_are_the_wanted_ones_and_known_to_wait() -> None:
    config = decode_pending(
        [
            {"key": "memory", "value": "333"},
            {"key": "cores", "value": 1, "pending": 2},
            {"key": "agent", "pending": "1"},
            {"key": "nameserver", "value": "1.1.1.1", "delete": 1},
            {"key": "sata0", "value": "data2:vm-1-disk-0,size=1G,foo=1", "delete": 1},
            {"key": "smbios1", "value": "uuid=1"},
            {"key": "digest", "value": "2cb9"},
        ]
    )
    assert config.digest == "2cb9"
    assert config.values == {"memory": 333, "cores": 2, "agent": True}
    assert config.pending == {"cores", "agent", "nameserver", "sata0"}
    volume = "data2:vm-1-disk-0"
    leaving = Disk("sata0", "disk", storage="data2", size_bytes=1 << 30, volume=volume)
    assert config.leaving() == {"nameserver": "1.1.1.1", "sata0": leaving}
    assert config.keep == {"sata0": "foo=1"}
