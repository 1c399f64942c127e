"""How the endpoint reads and writes sizes, tags, property strings, passwords and volume names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackyard.lab.api import formats
from stackyard.lab.api.devices import IPCONFIG, NET
from stackyard.lab.api.drives import Place, make_drive
from stackyard.lab.api.faults import ApiError
from stackyard.lab.api.passwords import encrypted, sha256_crypt
from stackyard.lab.api.vm import (
    Vm,
    format_size,
    normal_tags,
    parse_drive,
    parse_size,
    print_drive,
    with_mac,
)
from stackyard.lab.api.volumes import Volumes
from stackyard.lab.platform_file import parse_platform

WORDS = st.text("abcdefghij", min_size=1, max_size=6)
PLATFORM = parse_platform(
    {
        "nodes": {"a": {}, "b": {}},
        "storages": {
            "files": {"type": "dir", "size": "10G"},
            "thin": {"type": "lvmthin", "size": "10G"},
            "both": {"type": "dir", "size": "10G", "shared": True},
        },
    }
)


@given(st.integers(1, 10**15))
def test_a_size_survives_being_written(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("text", "size"), [("4.5G", 4831838208), ("5368709120", 5 * 1024**3), ("3G", 3 * 1024**3)]
)
def test_sizes_are_read_as_the_server_reads_them(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_a_new_disk_has_whole_kib_as_the_server_rounds_it() -> None:
    vm = Vm(100, "a")
    made = make_drive(Volumes(PLATFORM), Place("a", 100), vm, "scsi0", "thin:9.1")
    assert made == "thin:vm-100-disk-0,size=9542042K"


@given(st.lists(WORDS))
def test_tags_are_lower_case_sorted_and_stay_so(tags: list[str]) -> None:
    once = normal_tags(" ".join(tags).upper())
    assert once == normal_tags(once) == ";".join(sorted(set(tags)))


@given(st.dictionaries(st.sampled_from(["size", "cache", "serial"]), WORDS), WORDS)
def test_a_drive_survives_being_written(options: dict[str, str], volume: str) -> None:
    drive = options | {"file": f"local:{volume}"}
    assert parse_drive("scsi0", print_drive(drive)) == drive


@given(st.sampled_from(["virtio", "e1000"]), st.integers(1, 4094))
def test_a_card_without_a_mac_gets_one_of_proxmox(model: str, tag: int) -> None:
    card = formats.split(with_mac(f"{model},tag={tag},bridge=vmbr0"), NET)
    assert card["macaddr"].startswith("BC:24:11:")
    assert (card["model"], card["tag"], card["bridge"]) == (model, str(tag), "vmbr0")
    assert with_mac(with_mac(f"{model},bridge=vmbr0")).startswith(f"{model}=BC:24:11:")


@given(st.text("ip=6gw,dhcp10./24:", max_size=30))
def test_any_text_as_address_is_taken_or_refused_in_words(text: str) -> None:
    problem = formats.wrong(text, formats.Rule(format=IPCONFIG), "ipconfig0")
    if problem is None:
        assert set(formats.split(text, IPCONFIG)) <= set(IPCONFIG)
    else:
        assert problem.startswith("invalid format - ")


def test_a_password_is_kept_as_sha256_crypt() -> None:
    # The result of `openssl passwd -5` for the same password and salt.
    known = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"
    assert sha256_crypt("Hello world!", "saltstring") == known
    assert encrypted(known) == known
    assert encrypted("x") != encrypted("x")


def test_disks_are_named_as_the_storage_names_them() -> None:
    volumes = Volumes(PLATFORM)
    storages = volumes.storages
    names = [
        volumes.allocate("a", storages["files"], 100, 1).volid,
        volumes.allocate("a", storages["files"], 100, 1, "qcow2").volid,
        volumes.allocate("a", storages["thin"], 100, 1, "qcow2").volid,
        volumes.allocate_cloudinit("a", storages["thin"], 100).volid,
        volumes.allocate_cloudinit("a", storages["files"], 100).volid,
    ]
    assert names == [
        "files:100/vm-100-disk-0.raw",
        "files:100/vm-100-disk-1.qcow2",
        "thin:vm-100-disk-0",
        "thin:vm-100-cloudinit",
        "files:100/vm-100-cloudinit.qcow2",
    ]


def test_a_freed_disk_number_is_taken_again() -> None:
    volumes = Volumes(PLATFORM)
    first = volumes.allocate("a", volumes.storages["thin"], 100, 1)
    volumes.allocate("a", volumes.storages["thin"], 100, 1)
    volumes.remove("a", first.volid)
    assert volumes.allocate("a", volumes.storages["thin"], 100, 1).volid == first.volid


def test_only_a_shared_storage_holds_one_volume_for_all_nodes() -> None:
    volumes = Volumes(PLATFORM)
    local = volumes.allocate("a", volumes.storages["thin"], 100, 1)
    shared = volumes.allocate("a", volumes.storages["both"], 100, 1)
    assert volumes.get("b", local.volid) is None
    assert volumes.get("b", shared.volid) == shared


def test_a_linked_clone_holds_on_to_its_base() -> None:
    volumes = Volumes(PLATFORM)
    disk = volumes.allocate("a", volumes.storages["files"], 100, 1, "qcow2")
    base = volumes.get("a", volumes.make_base("a", disk.volid))
    assert base is not None
    linked = volumes.link("a", base, 101)
    assert linked.volid == "files:100/base-100-disk-0.qcow2/101/vm-101-disk-0.qcow2"
    assert volumes.in_use("a", base.volid)
    volumes.remove("a", linked.volid)
    assert not volumes.in_use("a", base.volid)


def test_a_storage_that_is_not_there_is_named() -> None:
    with pytest.raises(ApiError, match="storage 'nope' does not exist"):
        Volumes(PLATFORM).storage("nope", "a")
