"""What a user reads about a definition: its values when it is right, a sentence when it is not."""

import os
import re
import tempfile
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from definition_strategies import disks, dump, flat, merging
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from stackyard.definitions.availability import HA
from stackyard.definitions.device_keys import FAMILIES
from stackyard.definitions.disks import size_in_bytes
from stackyard.definitions.document import DocumentError, Problem, read_document
from stackyard.definitions.files import DEFAULTS, list_files, read_files
from stackyard.definitions.hardware import Ha
from stackyard.definitions.keys import FLAT_DISK_KEYS, NIC_KEYS, VM_KEYS
from stackyard.definitions.load import (
    DefinitionsError,
    load_definitions,
    parse_vm,
    read_vms,
)
from stackyard.definitions.model import Disk, IpConfig, Nic, Reference
from stackyard.definitions.reference import reference
from stackyard.definitions.schema import json_schema
from stackyard.inventory.describe import describe
from stackyard.plan.disks import size_text

CASES = Path(__file__).parent / "cases" / "definitions"
ROOT = Path(__file__).parents[2]
GIB = 1024**3


def vms(tmp_path: Path, **files: str) -> Path:
    folder = tmp_path / "vms"
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.yaml").write_bytes(text.encode())
    return tmp_path


def mistakes(site: Path) -> list[str]:
    with pytest.raises(DefinitionsError) as caught:
        load_definitions(site)
    return [line.removeprefix(f"{site}/vms/") for line in str(caught.value).splitlines()]


def problems_of(text: str) -> tuple[Problem, ...]:
    """Return the mistakes of a text; any other exception than theirs fails the test."""
    try:
        parse_vm(text)
    except DefinitionsError as error:
        return error.problems or (Problem("-", 0, ""),)
    return ()


@pytest.mark.parametrize(
    "case",
    yaml.safe_load((CASES / "mistakes.yaml").read_text()),
    ids=lambda case: str(case["it"]).replace(" ", "-"),
)
def test_a_mistake_is_one_sentence_with_its_place(case: dict[str, Any], tmp_path: Path) -> None:
    site = vms(tmp_path, vm=case["text"])
    assert mistakes(site) == [f"vm.yaml:{sentence}" for sentence in case["says"]]


def test_every_key_of_the_first_block() -> None:
    vm = parse_vm((CASES / "full.yaml").read_text())
    assert (vm.name, vm.target_node, vm.cores, vm.sockets) == ("k8s-observability", "node03", 4, 2)
    assert (vm.memory_mib, vm.cpu_type, vm.onboot, vm.agent) == (16384, "host", False, True)
    assert (vm.clone, vm.full_clone, vm.vm_state) == ("ubuntu24-template", True, "running")
    assert vm.disks == (
        Disk("scsi0", "disk", "data2", 130 * GIB, "raw"),
        Disk("scsi1", "passthrough", volume="/dev/disk/by-id/some-disk", replicate=False),
        Disk("ide1", "cloudinit", "data2"),
    )
    assert vm.networks == (Nic("vmbr0", "virtio", firewall=False),)
    assert vm.ipconfigs == (IpConfig("192.168.1.20/24", "192.168.1.1", "dhcp"),)
    assert (vm.ciuser, vm.nameserver, vm.skip_ipv6, vm.serial) == (
        "suporte",
        "192.168.1.3",
        True,
        True,
    )


def test_defaults_are_those_of_the_table() -> None:
    vm = parse_vm("name: a\ntarget_node: n\n")
    for key in VM_KEYS:
        if key.default is not ... and key.type not in {"list", "map"}:
            assert getattr(vm, key.field or key.name) == key.default, key.name


def test_a_number_among_the_choices_needs_no_quotes() -> None:
    text = "name: a\ntarget_node: n\nhugepages: {}\nefidisk0: {{storage: s1, ms-cert: {}}}\n"
    bare, quoted = text.format(1024, 2023), text.format("'1024'", "'2023'")
    assert parse_vm(bare) == parse_vm(quoted)
    assert parse_vm(bare).hugepages == "1024"
    validator = Draft202012Validator(json_schema())
    for document in (bare, quoted):
        assert list(validator.iter_errors(yaml.safe_load(document))) == []
    (problem,) = problems_of(text.format(4, 2023))
    assert problem.sentence == "hugepages must be one of any, 2, 1024, not 4"


@pytest.mark.parametrize("key", ["name", "clone"])
def test_a_name_is_as_long_as_dns_has_it(key: str) -> None:
    longest = ".".join(["a" * 63] * 3 + ["a" * 61])
    text = "target_node: n\n" + ("" if key == "name" else "name: a\n") + f"{key}: "
    assert problems_of(text + longest) == ()
    (problem,) = problems_of(text + longest + "a")
    assert problem.sentence == f"{key} must have at most 253 characters, not 254"
    assert problems_of(text + "a" * 64)


def test_flat_disks_and_both_forms_alike() -> None:
    flat = (
        "name: a\ntarget_node: n\ndisks:\n"
        "  - {slot: scsi0, type: disk, size: 50G, storage: slowdata, format: raw}\n"
        "  - {slot: ide1, type: cdrom, cloudinit: true, storage: slowdata}\n"
        "  - {slot: ide2, type: cdrom, iso: 'local:iso/talos.iso'}\n"
    )
    nested = (
        "nested_disks:\n"
        "  scsi: {scsi0: {disk: {storage: slowdata, size: 50G, format: raw}}}\n"
        "  ide:\n    ide1: {cloudinit: {storage: slowdata}}\n"
        "    ide2: {cdrom: {iso: 'local:iso/talos.iso'}}\n"
    )
    both, one = parse_vm(flat + nested), parse_vm(flat)
    assert both.disks == one.disks
    assert [disk.media for disk in one.disks] == ["disk", "cloudinit", "iso"]


def test_the_card_of_an_address_may_come_from_the_defaults_or_be_there(tmp_path: Path) -> None:
    need = "without which Proxmox ignores it: list all cards in networks"
    head, ip = "target_node: n\n", "ipconfig1: ip=dhcp\n"
    site = vms(
        tmp_path,
        _defaults="network: {bridge: vmbr0}\n",
        a=f"name: a\n{head}ipconfig0: ip=dhcp\n",
        b=f"name: b\n{head}{ip}",
        c=f"name: c\n{head}{ip}networks: [{{bridge: vmbr0}}, {{bridge: vmbr1}}]\n",
        d=f"name: d\n{head}{ip}network: null\n",
    )
    assert mistakes(site) == [f"b.yaml:3: ipconfig1 needs net1, {need}"]


def test_an_inherited_ipconfig_needs_its_card_too(tmp_path: Path) -> None:
    head = "target_node: n\n"
    site = vms(
        tmp_path,
        _defaults="networks: [{bridge: a}, {bridge: b}]\nipconfig1: ip=dhcp\n",
        a=f"name: a\n{head}",
        b=f"name: b\n{head}network: {{bridge: a}}\n",
        c=f"name: c\n{head}network: {{bridge: a}}\nipconfig1: null\n",
    )
    need = "without which Proxmox ignores it: list all cards in networks"
    assert mistakes(site) == [f"b.yaml:1: ipconfig1 needs net1, {need}"]


def test_mistakes_of_all_files_at_once(tmp_path: Path) -> None:
    site = vms(tmp_path, a="nam: a\n", b="- 1\n", c="name: c\ntarget_node: n\nfoo: 1\n")
    files = [line.split(":")[0] for line in mistakes(site)]
    assert files == ["a.yaml", "a.yaml", "a.yaml", "b.yaml", "c.yaml"]


def test_a_name_twice_names_both_files(tmp_path: Path) -> None:
    site = vms(tmp_path, a="name: x\ntarget_node: n\n", b="target_node: n\nname: x\n")
    assert mistakes(site) == [f"b.yaml:2: x is defined in {site}/vms/a.yaml:1 too"]


def test_defaults_lie_below_each_file(tmp_path: Path) -> None:
    site = vms(
        tmp_path,
        _defaults="ciuser: me\ncores: 2\ndisks: [{slot: scsi0, storage: s1, size: 1G}]\n",
        a="name: a\ntarget_node: n\ncores: 3\n",
        b="name: b\ntarget_node: n\nnested_disks: {scsi: {scsi1: {cdrom: {iso: none}}}}\n",
    )
    a, b = load_definitions(site)
    assert (a.ciuser, a.cores, a.disks[0].slot) == ("me", 3, "scsi0")
    assert (b.cores, [disk.slot for disk in b.disks]) == (2, ["scsi1"])


def test_what_the_defaults_imply_is_no_mistake_of_a_file(tmp_path: Path) -> None:
    site = vms(
        tmp_path,
        _defaults="target_node: n\nha: started\nmemory: 4096\nballoon: 2048\nserial: true\n",
        a="name: a\n",
        b="name: b\nha: stopped\nserial0: null\nballoon: null\nmemory: 1024\n",
    )
    a, b = load_definitions(site)
    assert (a.vm_state, a.balloon_mib, a.serials) == ("running", 2048, ("socket",))
    assert (b.vm_state, b.balloon_mib, b.serials) == ("stopped", None, ("socket",))


def test_a_template_does_not_run_whatever_the_defaults_say(tmp_path: Path) -> None:
    site = vms(
        tmp_path,
        _defaults="target_node: n\nvm_state: running\n",
        a="name: a\n",
        t="name: t\ntemplate: true\n",
    )
    assert [vm.vm_state for vm in load_definitions(site)] == ["running", "stopped"]
    (site / "vms" / "t.yaml").write_text("name: t\ntemplate: true\nvm_state: running\n")
    assert mistakes(site) == [
        "t.yaml:3: vm_state running is not for a template, which never runs: drop one"
    ]


def test_a_mistake_in_the_defaults_is_said_once(tmp_path: Path) -> None:
    one = "target_node: n\nname: "
    site = vms(tmp_path, _defaults="name: x\nmemory: 1\n", a=one + "a\n", b=one + "b\n")
    assert mistakes(site) == [
        "_defaults.yaml:1: name belongs to one VM, not to the defaults",
        "_defaults.yaml:2: memory must be at least 16, not 1",
    ]


def test_balloon_is_measured_by_the_memory_it_goes_with(tmp_path: Path) -> None:
    site = vms(
        tmp_path,
        _defaults="target_node: n\nballoon: 2048\n",
        a="name: a\nmemory: 4096\n",
        b="name: b\n",
        c="name: c\nmemory: null\n",
    )
    sentence = "balloon must be at most memory, 1024, not 2048"
    (site / "vms" / "d.yaml").write_text("name: d\n")
    assert mistakes(site) == [f"{DEFAULTS}:2: {sentence}", f"c.yaml:1: {sentence}"]
    (site / "vms" / DEFAULTS).write_text("target_node: n\nballoon: 2048\nmemory: 1024\n")
    (site / "vms" / "c.yaml").write_text("name: c\nballoon: 512\n")
    assert mistakes(site) == [f"{DEFAULTS}:2: {sentence}"]
    (site / "vms" / DEFAULTS).write_text("target_node: n\nballoon: 2048\nmemory: 4\n")
    assert mistakes(site) == [f"{DEFAULTS}:3: memory must be at least 16, not 4"]


def test_empty_defaults_are_asked_for_no_name(tmp_path: Path) -> None:
    site = vms(tmp_path, _defaults="# cores: 2\n", a="name: a\n")
    assert mistakes(site) == [
        "_defaults.yaml:1: is empty: remove the file if all VMs have nothing in common"
    ]


def test_null_in_the_defaults_is_a_key_left_out(tmp_path: Path) -> None:
    nulls = "target_node: null\ndisks: null\nvariables: null\nmemory: null\nha: null\n"
    site = vms(tmp_path, _defaults=nulls, a="name: a\ntarget_node: n\n", b="name: b\n")
    assert mistakes(site) == ["b.yaml:1: target_node is missing"]
    (site / "vms" / "b.yaml").unlink()
    (definition,) = load_definitions(site)
    assert definition == parse_vm("name: a\ntarget_node: n\n")
    assert definition.source.given == {"name", "target_node"}


def test_null_in_a_file_takes_back_what_the_defaults_say(tmp_path: Path) -> None:
    own = "name: a\ntarget_node: n\nmemory: null\nha: null\nvariables: null\nnetwork: null\n"
    defaults = "memory: 4096\nha: started\nvariables: {x: 1}\nnetwork: {bridge: vmbr0}\n"
    site = vms(tmp_path, _defaults=defaults, a=own)
    assert load_definitions(site) == (parse_vm("name: a\ntarget_node: n\n"),)


def test_a_key_cannot_make_a_line_of_its_own(tmp_path: Path) -> None:
    key = r'"x\nvms/b.yaml:1: \e[1mis fine"'
    site = vms(tmp_path, a=f"name: a\ntarget_node: n\n{key}: 1\n{key}: 2\n")
    assert mistakes(site) == [
        r"a.yaml:4: the key x\nvms/b.yaml:1: \x1b[1mis fine stands here and in line 3: keep one"
    ]


def test_what_is_no_plain_utf8_file(tmp_path: Path) -> None:
    site = vms(tmp_path, bom="\ufeffname: bom\r\ntarget_node: n\r\n")
    assert load_definitions(site)[0].name == "bom"
    (site / "vms" / "bytes.yaml").write_bytes(b"name: a\ntarget_node: \xff\n")
    (site / "vms" / "large.yaml").write_bytes(b"#" * (10 * 1024 * 1024))
    (site / "vms" / "gone.yaml").symlink_to("nowhere")
    (site / "vms" / "empty.yaml").write_bytes(b"")
    (site / "vms" / "nul.yaml").write_bytes(b"name: a\ntarget_node: \0\n")
    (site / "vms" / "utf16.yaml").write_bytes("name: a\ntarget_node: n\n".encode("utf-16"))
    assert mistakes(site) == [
        "bytes.yaml:2: is not UTF-8 text",
        "empty.yaml:1: is empty: a definition is a mapping with at least name and target_node",
        "gone.yaml:1: cannot be read: No such file or directory",
        "large.yaml:1: is larger than 1 MiB",
        "nul.yaml:2: not valid YAML: control characters are not allowed",
        "utf16.yaml:1: is not UTF-8 text",
    ]


def test_what_looks_like_a_definition_is_never_passed_over(tmp_path: Path) -> None:
    site = vms(tmp_path, a="name: a\ntarget_node: n\n")
    folder = site / "vms"
    outside = tmp_path.parent / "outside.yaml"
    outside.write_text("name: b\ntarget_node: n\n")
    (folder / "README.md").write_text("what these VMs are\n")
    (folder / "more").mkdir()
    (folder / "more" / "b.yaml").write_text("name: b\n")
    (folder / "notes").mkdir()
    (folder / "folder.yaml").mkdir()
    os.mkfifo(folder / "pipe.yaml")
    (folder / "shout.YAML").write_text("name: c\n")
    (folder / "_old.yml").write_text("name: d\n")
    (folder / "out.yaml").symlink_to(outside)
    (folder / "self.yaml").symlink_to("self.yaml")
    (folder / "two\nlines.yaml").write_text("name: e\ntarget_node: n\n")
    Path(os.fsdecode(bytes(folder) + b"/\xff.yaml")).write_text("name: f\ntarget_node: n\n")
    assert mistakes(site) == [
        f"{folder}:1: '\\udcff.yaml' is no file's name: rename it",
        f"{folder}:1: 'two\\nlines.yaml' is no file's name: rename it",
        f"_old.yml:1: a name that starts with _ is kept for {DEFAULTS}: rename the file",
        "folder.yaml:1: is not a regular file",
        "more:1: is a folder with definitions, which stand in vms/ itself: move them there",
        f"out.yaml:1: is a link out of {tmp_path}, to {outside}: put a copy here",
        "pipe.yaml:1: is not a regular file",
        "self.yaml:1: cannot be read: a link that leads to itself",
        "shout.YAML:1: ends in .YAML: write .yaml",
    ]


def test_what_cannot_be_looked_at_is_a_mistake_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = vms(tmp_path, a="name: a\ntarget_node: n\n")
    folder = site / "vms"
    (folder / "loop").symlink_to("loop")
    (folder / "gone").symlink_to("nowhere")  # no YAML, and nothing behind it
    (folder / "long.yaml").symlink_to("x" * 300)
    (folder / "kept" / "back").mkdir(parents=True)
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if Path(path).name == "back":  # as a folder that only somebody else may read
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert mistakes(site) == [
        "kept:1: cannot be read: Permission denied",
        "long.yaml:1: cannot be read: File name too long",
        "loop:1: cannot be read: Too many levels of symbolic links",
    ]


def test_an_editor_that_has_a_file_open_is_in_nobodys_way(tmp_path: Path) -> None:
    """Emacs marks it by a link to the editor, Vim by a swap file, and both keep copies."""
    site = vms(tmp_path, a="name: a\ntarget_node: n\n", **{".hidden": "name: b\n"})
    folder = site / "vms"
    (folder / ".#a.yaml").symlink_to("me@here.4711:1764180000")
    for name in (".a.yaml.swp", "a.yaml~", "#a.yaml#", "4913"):
        (folder / name).write_bytes(b"b0VIM\0\xff")
    # A hidden file that is a definition by its name is read like any other.
    assert mistakes(site) == [".hidden.yaml:1: target_node is missing"]
    (folder / ".hidden.yaml").unlink()
    assert [vm.name for vm in load_definitions(site)] == ["a"]


def test_a_link_inside_the_site_is_followed(tmp_path: Path) -> None:
    site = vms(tmp_path)
    (site / "shared.yaml").write_text("name: a\ntarget_node: n\n")
    (site / "vms" / "a.yaml").symlink_to("../shared.yaml")
    assert [vm.name for vm in load_definitions(site)] == ["a"]


def test_the_folder_itself_may_be_a_link_inside_the_site_and_not_out_of_it(tmp_path: Path) -> None:
    site, shared = tmp_path / "site", "name: a\ntarget_node: n\n"
    (site / "machines").mkdir(parents=True)
    (site / "machines" / "a.yaml").write_text(shared)
    (site / "vms").symlink_to("machines")
    assert [vm.name for vm in load_definitions(site)] == ["a"]
    (tmp_path / "linked").symlink_to(site)
    assert [vm.name for vm in load_definitions(tmp_path / "linked")] == ["a"]
    outside = (site / "machines").rename(tmp_path / "outside")
    (site / "vms").unlink()
    (site / "vms").symlink_to(outside)
    assert mistakes(site) == [
        f"{site}/vms:1: is a link out of {site}, to {outside}: put a copy here"
    ]


def test_a_file_that_vanishes_while_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = vms(tmp_path, a="name: a\ntarget_node: n\n", b="name: b\ntarget_node: n\n")

    def listed_then_gone(folder: Path) -> tuple[list[Path], list[Problem]]:
        found = list_files(folder)
        (folder / "b.yaml").unlink()
        return found

    monkeypatch.setattr("stackyard.definitions.files.list_files", listed_then_gone)
    assert mistakes(site) == ["b.yaml:1: cannot be read: No such file or directory"]


def test_a_file_that_becomes_a_pipe_while_being_read_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = vms(tmp_path, a="name: a\ntarget_node: n\n", b="name: b\ntarget_node: n\n")

    def listed_then_replaced(folder: Path) -> tuple[list[Path], list[Problem]]:
        found = list_files(folder)
        (folder / "b.yaml").unlink()
        os.mkfifo(folder / "b.yaml")
        return found

    monkeypatch.setattr("stackyard.definitions.files.list_files", listed_then_replaced)
    assert mistakes(site) == ["b.yaml:1: is not a regular file"]


def test_a_folder_without_definitions_is_an_error(tmp_path: Path) -> None:
    site = vms(tmp_path)
    assert mistakes(site) == [f"{site}/vms:1: no definition here: each VM is a file NAME.yaml"]
    assert "cannot be read" in mistakes(tmp_path / "absent")[0]


def test_keys_may_come_from_the_environment() -> None:
    vm = parse_vm("name: a\ntarget_node: n\nsshkeys: {env: MY_KEYS}\n")
    assert vm.sshkeys == Reference("MY_KEYS")


def test_merge_keys_and_anchors() -> None:
    vm = parse_vm(
        "name: a\ntarget_node: n\nnetworks:\n  - &one {bridge: vmbr0}\n  - {<<: *one, vlan: 5}\n"
    )
    assert vm.networks == (Nic("vmbr0"), Nic("vmbr0", vlan=5))


def test_own_keys_go_before_merged_ones_and_of_those_the_first() -> None:
    document = read_document("a: 1\n<<:\n  - {b: 2, c: 3}\n  - {a: 4, b: 5, d: 6}\nd: 7\n")
    assert document == {"a": 1, "b": 2, "c": 3, "d": 7}
    assert document.lines == {"a": 1, "b": 3, "c": 3, "d": 5}


def test_an_unknown_key_that_is_merged_into_the_defaults(tmp_path: Path) -> None:
    site = vms(tmp_path, _defaults="<<: {coers: 2, target_node: n}\n", a="name: a\n")
    assert mistakes(site) == ["_defaults.yaml:1: unknown key 'coers', did you mean cores?"]


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LAUGHS, "4: more than 100000 values: a definition is one VM"),
        ("a: &a [*a]\n", "1: an alias stands inside its own anchor"),
        ("a: !!timestamp tomorrow\n", "1: 'tomorrow' is not a value of its kind"),
        ("\na: !!bool perhaps\n", "2: 'perhaps' is not a value of its kind"),
        ("a: 2026-13-45\n", "1: '2026-13-45' is not a value of its kind"),
        (f"a: {'9' * 65}\n", "1: a number of more than 64 digits: put it in quotes"),
        # Before it is reckoned: thousands of places of 1:59:59… take minutes.
        (f"a: !!int {'x' * 65}\n", "1: a number of more than 64 digits: put it in quotes"),
        ("a: !!binary aGk=\n", "1: binary data is no value of a definition"),
        (
            "a: !!python/name:os []\n",
            "1: the tag tag:yaml.org,2002:python/name:os makes no plain value: leave it out",
        ),
    ],
)
def test_yaml_that_is_no_plain_data(text: str, says: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_document(text)
    assert f"{caught.value.line}: {caught.value}" == says


@pytest.mark.parametrize(
    "more",
    [
        f"cpulimit: 1{'0' * 400}",
        f"memory: 0x{'f' * 5000}",
        f"ipconfig0: ip=10.0.0.1/{'9' * 5000}",
        f"disks: [{{slot: scsi0, storage: data2, size: {'9' * 5000}G}}]",
    ],
)
def test_a_number_without_end_is_a_mistake(more: str) -> None:
    with pytest.raises(DefinitionsError, match=r"^a\.yaml:3: "):
        describe(parse_vm(f"name: a\ntarget_node: n\n{more}\n", "a.yaml"))


def test_jinja_is_never_evaluated() -> None:
    vm = parse_vm('name: a\ntarget_node: n\nvariables: {x: \'{{ lookup("env", "HOME") }}\'}\n')
    assert vm.variables == {"x": '{{ lookup("env", "HOME") }}'}


@pytest.mark.parametrize(
    ("text", "size"), [("1G", GIB), ("4.5G", 4.5 * GIB), ("512M", GIB / 2), ("2", 2 * GIB)]
)
def test_sizes(text: str, size: float) -> None:
    assert size_in_bytes(text) == size


@given(st.decimals(0, 9999, places=9), st.sampled_from("KMGT"))
def test_a_size_is_the_next_whole_kib_as_proxmox_rounds(number: Decimal, unit: str) -> None:
    exact = Fraction(number) * 1024 ** ("KMGT".index(unit) + 1)
    size = size_in_bytes(f"{number:f}{unit}")
    assert size % 1024 == 0
    assert exact <= size < exact + 1024
    assert size_in_bytes(size_text(size)) == size


KEYS = st.sampled_from([key.name for key in VM_KEYS] + ["disks", "nested_disks", "network", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_mapping_is_a_definition_or_mistakes(content: dict[str, Any]) -> None:
    text = yaml.safe_dump(content, allow_unicode=False)
    assert all(problem.line >= 1 and problem.sentence for problem in problems_of(text))


def told(text: str) -> set[str]:
    """Return the mistakes of a text, whatever their lines are."""
    return {re.sub(r"line \d+", "line", problem.sentence) for problem in problems_of(text)}


@settings(deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=6).flatmap(merging))
def test_any_merge_is_checked_as_if_its_keys_stood_there(content: dict[str, Any]) -> None:
    text = dump(content)
    assert all(problem.line >= 1 for problem in problems_of(text))
    assert told(text) == told(dump(flat(content)))


DEFINITIONS = st.fixed_dictionaries(
    {"name": st.just("a"), "target_node": st.just("n")},
    optional={
        "memory": st.integers(16, 64),
        "network": st.just({"bridge": "vmbr0", "vlan": 5}),
        "disks": st.just([{"slot": "scsi0", "storage": "data2", "size": "1G", "ssd": True}]),
        "nested_disks": st.just({"ide": {"ide1": {"cloudinit": {"storage": "data2"}}}}),
        "efidisk0": st.just({"storage": "data2", "efitype": "4m"}),
        "usb0": st.just({"host": "1-1", "usb3": True}),
        "variables": st.just({"a": {"b": [{"c": 1}]}}),
    },
)


@settings(deadline=None)
@given(DEFINITIONS.flatmap(merging))
def test_a_definition_with_merges_is_the_one_without(content: dict[str, Any]) -> None:
    text, plain = dump(content), dump(flat(content))
    assert told(text) == told(plain)
    if not told(plain):
        assert parse_vm(text) == parse_vm(plain)


# Hypothesis' pieces of YAML, so that more than one text in a thousand gets past its first byte.
SIGNS = "&*!|>?:-[]{},#%@'\"\\ \t\n\r~\ufeff"
WORDS = ("\n  ", "<<: ", "&a ", "*a", "!!int ", "!!set ", "---\n", "name: a\n", "target_node: n\n")
PIECES = st.lists(
    st.sampled_from([*SIGNS, *WORDS, "disks: ", "ipconfig0: ", "variables: "])
    | st.text(max_size=3),
    max_size=20,
).map("".join)


@settings(deadline=None)
@given(st.text() | PIECES)
def test_any_text_is_a_definition_or_mistakes(text: str) -> None:
    assert all(str(problem) for problem in problems_of(text))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.binary(max_size=40) | PIECES.map(lambda text: text.encode("utf-8", "replace"))))
def test_any_folder_is_a_fleet_or_mistakes_with_their_places(files: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        for number, data in enumerate(files):
            Path(name, f"{number}.yaml").write_bytes(data)
        definitions, problems = read_vms(read_files(Path(name)))
        assert len(definitions) <= len(files)
        # No file is passed over: each is a definition or has a mistake of its own.
        told = {vm.source.path for vm in definitions} | {problem.path for problem in problems}
        assert {str(Path(name, f"{number}.yaml")) for number in range(len(files))} <= told
        assert all(problem.line >= 1 and problem.sentence for problem in problems)


@settings(max_examples=60)
@given(disks())
def test_both_forms_describe_the_same_disks(flat: list[dict[str, Any]]) -> None:
    nested: dict[str, Any] = {}
    for disk in flat:
        content = {key: value for key, value in disk.items() if key not in ("slot", "type")}
        bus = disk["slot"].rstrip("0123456789")
        nested.setdefault(bus, {})[disk["slot"]] = {disk.get("type", "disk"): content}
    base = {"name": "a", "target_node": "n"}
    one = parse_vm(yaml.safe_dump({**base, "disks": flat}))
    other = parse_vm(yaml.safe_dump({**base, "nested_disks": nested}))
    both = parse_vm(yaml.safe_dump({**base, "disks": flat, "nested_disks": nested}))
    assert one.disks == other.disks == both.disks
    assert len(one.disks) == len(flat)


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ("ha: {state: stopped}\nvm_state: running\n", "contradicts vm_state running"),
        ("ha: {state: none, max_restart: 2}\n", "takes the VM out: drop them"),
        ("ha: started\ntemplate: true\n", "this is a template: take it out"),
        ("ha: {}\n", "ha is empty: leave it out"),
        ("vm_state: running\ntemplate: true\n", "not for a template, which never runs"),
        ("tags: [web, stackyard-restart]\n", "is set and removed by stackyard itself"),
        ("ha: running\n", "state of ha must be one of started"),
        ("ha: {max_restart: -1}\n", "max_restart of ha must be at least 0"),
        ("ha: {restarts: 1}\n", "unknown key 'restarts' of ha"),
    ],
)
def test_what_cannot_be_is_a_mistake(keys: str, why: str) -> None:
    with pytest.raises(DefinitionsError, match=re.escape(why)) as caught:
        parse_vm(f"name: a\ntarget_node: n\n{keys}", "vms/a.yaml")
    assert str(caught.value).startswith("vms/a.yaml:3: ")


def test_the_state_of_ha_is_the_power_of_the_vm() -> None:
    def power(keys: str) -> str | None:
        return parse_vm(f"name: a\ntarget_node: n\n{keys}").vm_state

    assert power("ha: enabled\n") == power("ha: started\nvm_state: running\n") == "running"
    assert power("ha: disabled\n") == "stopped"
    assert power("ha: ignored\n") is power("ha: {max_restart: 2}\n") is None


def test_what_a_vm_says_of_its_power_wins_over_the_defaults(tmp_path: Path) -> None:
    site = vms(
        tmp_path,
        _defaults="target_node: n\nha: {state: started, max_restart: 2}\n",
        a="name: a\nvm_state: stopped\n",
        b="name: b\n",
        c="name: c\ntemplate: true\n",
        d="name: d\nha: null\n",
        e="name: e\nha: disabled\n",
    )
    found = {d.name: (d.ha, d.vm_state) for d in load_definitions(site)}
    assert found == {
        "a": (Ha(max_restart=2), "stopped"),
        "b": (Ha("started", max_restart=2), "running"),
        "c": (None, None),
        "d": (None, None),
        "e": (Ha("disabled"), "stopped"),
    }


def test_the_committed_reference_is_the_table() -> None:
    assert (ROOT / "docs" / "definitions.md").read_text() == reference()


def test_the_schema_knows_every_key() -> None:
    schema = json_schema()
    assert {key.name for key in VM_KEYS} < set(schema["properties"])
    assert schema["additionalProperties"] is False
    assert os.linesep not in schema["$schema"]


def test_the_schema_takes_null_wherever_a_definition_does() -> None:
    names = [*json_schema()["properties"], "ipconfig0", "serial1", "hostpci0", "usb13"]
    base: dict[str, Any] = {"name": "a", "target_node": "n"}
    documents = [base | {name: None} for name in names if name not in base]
    documents += [
        base | {"nested_disks": each} for each in ({"ide": None}, {"ide": {"ide2": None}})
    ]
    validator = Draft202012Validator(json_schema())
    for document in documents:
        assert parse_vm(yaml.safe_dump(document)) == parse_vm(yaml.safe_dump(base))
        assert [error.message for error in validator.iter_errors(document)] == []


def test_the_definition_with_every_key_has_every_key() -> None:
    path = ROOT / "tests" / "integration" / "cases" / "attributes" / "everything.yaml"
    text = path.read_text()
    document = yaml.safe_load(text)
    assert {key.name for key in VM_KEYS} <= set(document)
    assert {key.name for key in FLAT_DISK_KEYS} <= {k for disk in document["disks"] for k in disk}
    assert {key.name for key in NIC_KEYS} <= set(document["networks"][0])
    for family in (*FAMILIES, HA):
        assert {key.name for key in family.keys} <= {
            key
            for name in family.numbers
            if isinstance(document.get(name), dict)
            for key in document[name]
        }, family.name
    assert parse_vm(text).name == "everything"


def test_the_schema_takes_the_definition_with_every_key() -> None:
    path = ROOT / "tests" / "integration" / "cases" / "attributes" / "everything.yaml"
    document = yaml.safe_load(path.read_text())
    validator = Draft202012Validator(json_schema())
    assert [error.message for error in validator.iter_errors(document)] == []
    assert list(validator.iter_errors({**document, "vga": {"memory": 1024}}))
