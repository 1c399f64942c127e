"""Mistakes that only show when all definitions and the site are seen together."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sized
from pathlib import Path
from typing import Any

import pytest
import yaml
from definition_strategies import dump, flat, merging
from hypothesis import given, settings
from hypothesis import strategies as st
from netaddr import IPAddress, IPNetwork

from stackyard.definitions.document import Problem
from stackyard.definitions.load import DefinitionsError, parse_vm
from stackyard.fleet import ResolveError, known_hosts_of, load_fleet, resolve
from stackyard.fleet.addresses import AddressError, free, next_free, taken
from stackyard.fleet.check_addresses import check_overlaps
from stackyard.fleet.networks import Network, Range
from stackyard.fleet.site import Site

SITE = """\
nodes:
  node01: {threads: 8, memory: 16384, storages: [local-lvm]}
  node02: {threads: 8, memory: 32768}
networks:
  lan:
    cidr: 192.168.1.0/24
    gateway: 192.168.1.1
    vips: {api: 192.168.1.50}
    ranges: {lb: 192.168.1.60-192.168.1.69}
vmid_range: {first: 500, last: 599}
"""


def site(tmp_path: Path, *vms: str, text: str = SITE) -> Path:
    for folder in ("vms", "inventory"):
        (tmp_path / folder).mkdir()
    (tmp_path / "inventory" / "site.yml").write_text(text)
    for number, vm in enumerate(vms):
        (tmp_path / "vms" / f"{number}.yaml").write_text(vm)
    return tmp_path


NIC = "network: {bridge: vmbr0, mac: bc:24:11:00:00:01}\n"


def vm(name: str, more: str = "", node: str = "node01") -> str:
    return f"name: {name}\ntarget_node: {node}\n{more}"


def mistakes(path: Path) -> list[str]:
    with pytest.raises(DefinitionsError) as caught:
        load_fleet(path)
    return [line.removeprefix(f"{path}/") for line in str(caught.value).splitlines()]


NODE01 = "node01 has local-lvm: SITE is to name all its storages"


@pytest.mark.parametrize(
    ("vms", "says"),
    [
        ([vm("a", node="node9")], ["0.yaml:2: unknown node node9: SITE has node01, node02"]),
        (
            [vm("a", "disks: [{slot: scsi0, storage: data2, size: 1G}]\n")],
            ["0.yaml:3: scsi0 of a is on data2, but node01 has local-lvm"],
        ),
        (
            [vm("a", "efidisk0: {storage: data2}\ntpmstate0: {storage: data2}\n")],
            [
                "0.yaml:3: efidisk0 of a is on data2, but node01 has local-lvm",
                "0.yaml:4: tpmstate0 of a is on data2, but node01 has local-lvm",
            ],
        ),
        (
            [
                vm(
                    "a",
                    "disks:\n"
                    "  - {slot: scsi0, storage: local-lvm, size: 1G, import-from: nas:import/a}\n"
                    "  - {slot: ide2, type: cdrom, iso: nas:iso/talos.iso}\n"
                    "  - {slot: ide3, type: cdrom, iso: none}\n"
                    "  - {slot: scsi1, storage: local-lvm, size: 1G, import-from: /srv/a:b.raw}\n"
                    "hookscript: nas:snippets/hook.pl\n"
                    "cicustom: {user: nas:snippets/user.yaml, meta: local-lvm:snippets/a}\n",
                ),
            ],
            [
                f"0.yaml:4: scsi0 of a needs nas:import/a, but {NODE01}",
                f"0.yaml:5: ide2 of a needs nas:iso/talos.iso, but {NODE01}",
                f"0.yaml:8: hookscript of a needs nas:snippets/hook.pl, but {NODE01}",
                f"0.yaml:9: cicustom of a needs nas:snippets/user.yaml, but {NODE01}",
            ],
        ),
        (
            [vm("a", "vmid: 200\n"), vm("b", "vmid: 200\n")],
            ["1.yaml:3: b has 200, and so has a (vms/0.yaml:3)"],
        ),
        (
            [vm("a", "ipconfig0: ip=192.168.1.9/24\n"), vm("b", "ipconfig0: ip=192.168.1.9/24\n")],
            ["1.yaml:3: b has 192.168.1.9, and so has a (vms/0.yaml:3)"],
        ),
        (
            [vm("a", "ipconfig0: ip=192.168.1.9/24\nipconfig1: ip=192.168.1.9/24,ip6=dhcp\n")],
            ["0.yaml:4: a has 192.168.1.9 in ipconfig0, too: keep one"],
        ),
        (
            [vm("a", NIC), vm("b", f"onboot: true\n{NIC}")],
            ["1.yaml:4: b has BC:24:11:00:00:01, and so has a (vms/0.yaml:3)"],
        ),
        (
            [
                vm("a", "networks: [{bridge: v0}, {bridge: v1}]\nipconfig1: ip=192.168.1.9/24\n"),
                vm("b", "ipconfig0: ip=192.168.1.9/24\n"),
            ],
            ["1.yaml:3: b has 192.168.1.9, and so has a (vms/0.yaml:4)"],
        ),
        (
            [vm("a", "ipconfig0: ip=10.0.0.9/24\n")],
            ["0.yaml:3: 10.0.0.9 is in no network of the site (lan 192.168.1.0/24)"],
        ),
        (
            [vm("a", "ipconfig0: ip=192.168.1.9/25\n")],
            ["0.yaml:3: 192.168.1.9/25 has another prefix than network lan, 192.168.1.0/24"],
        ),
        (
            [vm("a", "ipconfig0: ip=192.168.1.9/24,gw=192.168.1.2\n")],
            ["0.yaml:3: the gateway of network lan is 192.168.1.1, not 192.168.1.2"],
        ),
        (
            [vm("a", "ipconfig0: ip=192.168.1.1/24\n")],
            ["0.yaml:3: 192.168.1.1 of VM a is the gateway of network lan"],
        ),
        (
            [vm("a", "ipconfig0: ip=192.168.1.255/24\n")],
            ["0.yaml:3: 192.168.1.255 of VM a is the broadcast address of network lan"],
        ),
        (
            [vm("a", "ipconfig0: ip=192.168.1.65/24\n")],
            ["0.yaml:3: 192.168.1.65 of VM a is in 192.168.1.60-192.168.1.69 of range lb (SITE:9)"],
        ),
        (
            [vm("a", "ipconfig1: ip=192.168.1.50/24\n")],
            ["0.yaml:3: 192.168.1.50 of VM a is VIP api too (SITE:8)"],
        ),
        (
            [vm("a", "memory: 9000\n"), vm("b", "memory: 8000\n")],
            ["0.yaml:3: node01 has 16384 MiB of memory, its VMs ask for 17000 MiB, most a (9000)"],
        ),
        (
            [vm("a", "cores: 5\nsockets: 2\n")],
            ["0.yaml:3: a asks for 10 CPUs, but node01 has 8 threads"],
        ),
    ],
)
def test_a_mistake_across_vms(vms: list[str], says: list[str], tmp_path: Path) -> None:
    path = site(tmp_path, *vms)
    found = [line.replace(f"{path}/inventory/site.yml", "SITE") for line in mistakes(path)]
    assert [line.replace(f"{path}/", "") for line in found] == [f"vms/{line}" for line in says]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.mkdir(), "is not a regular file"),
        (os.mkfifo, "is not a regular file"),
        (lambda path: path.symlink_to("nowhere"), "cannot be read: No such file or directory"),
        (lambda path: path.symlink_to(path.name), "cannot be read: Too many levels of"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
        (lambda path: path.write_bytes(b"nodes: \xff"), "is not UTF-8 text"),
        (lambda path: path.write_bytes(b""), "must be a mapping with nodes, networks, clusters"),
        (lambda path: path.write_bytes(b"#" * 10_000_000), "is larger than 1 MiB"),
    ],
)
def test_a_site_that_is_no_file_to_read(
    make: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    path = site(tmp_path, vm("a"))
    (path / "inventory" / "site.yml").unlink()
    make(path / "inventory" / "site.yml")
    (mistake,) = mistakes(path)
    assert mistake.startswith(f"inventory/site.yml:1: {says}")


def test_a_site_by_another_ending_is_not_passed_over(tmp_path: Path) -> None:
    path = site(tmp_path, vm("a"))
    (path / "inventory" / "site.yml").rename(path / "inventory" / "site.yaml")
    assert mistakes(path) == ["inventory/site.yaml:1: is not read: call it site.yml"]
    (path / "inventory" / "site.yml").write_text(SITE)
    assert mistakes(path) == ["inventory/site.yaml:1: is not read: site.yml is, so remove it"]


def test_a_site_behind_something_that_is_no_folder_is_not_passed_over(tmp_path: Path) -> None:
    path = site(tmp_path, vm("a"))
    (path / "inventory" / "site.yml").unlink()
    (path / "inventory").rmdir()
    (path / "inventory").write_text("in the way")  # as a folder that may not be searched
    assert mistakes(path) == ["inventory/site.yml:1: cannot be read: Not a directory"]


TEXTS = st.sampled_from([
    *("10.0.0.1", "10.0.0.0/24", "10.0.0.2-10.0.0.9", "0.0.0.0/0", "fd00::1", "fd00::/64", "::/0"),
    *("1.2", "10.0.0.9-10.0.0.2", "10.0.0.1-fd00::1", "fe80::1%eth0", "10.0.0.1/33", "-", "/", ""),
])  # fmt: skip
SCALARS = TEXTS | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
NAMES = st.sampled_from([
    *("nodes", "networks", "clusters", "pools", "vmid_range", "cidr", "gateway", "dns", "vips"),
    *("ranges", "pods", "services", "first", "last", "block", "ttl", "store", "threads"),
    *("memory", "storages", "node01", "lan"),
])  # fmt: skip
SITES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
NETWORKS = st.fixed_dictionaries({"cidr": TEXTS}, optional={"gateway": TEXTS,
    "dns": TEXTS, "vips": st.dictionaries(NAMES, TEXTS, max_size=2),
    "ranges": st.dictionaries(NAMES, TEXTS, max_size=2)})  # fmt: skip
POOLS = st.fixed_dictionaries({"first": TEXTS, "last": TEXTS},
    optional={"block": st.integers(-1, 5)})  # fmt: skip
NEARLY_RIGHT = st.fixed_dictionaries({}, optional={
    "nodes": st.just({"node01": {"threads": 1, "memory": 99999}}) | SITES,
    "networks": st.dictionaries(NAMES, NETWORKS | SITES, max_size=3),
    "pools": st.dictionaries(NAMES, POOLS | SITES, max_size=2),
    "clusters": st.dictionaries(NAMES, st.dictionaries(NAMES, TEXTS, max_size=2), max_size=2),
    "vmid_range": SITES,
})  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(document=SITES | NEARLY_RIGHT, address=TEXTS)
def test_any_site_is_a_fleet_or_mistakes_with_their_places(document: Any, address: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        config = json.dumps(f"ip6={address}" if ":" in address else f"ip={address}")
        path = site(Path(name), vm("a", f"ipconfig0: {config}\n"), text=yaml.safe_dump(document))
        problems: tuple[Problem, ...] = ()
        try:
            fleet = load_fleet(path)
        except DefinitionsError as error:
            problems = error.problems
        assert all(one.line >= 1 and one.sentence and one.path for one in problems)
        for network in () if problems else fleet.site.networks.values():
            entries = taken(network, fleet.definitions, "site.yml")
            assert all(gap.count > 0 for gap in free(network, entries))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<<: {nods: {}}\n", "1: unknown key 'nods', did you mean nodes?"),
        (
            "nodes: {n: {threads: 8, memory: 1024, <<: {storage: [data2]}}}\n",
            "1: unknown key 'storage' of node n, did you mean storages?",
        ),
        (
            "networks: {lan: {cidr: 192.168.1.0/24, <<: {vips: 5}}}\n",
            "1: vips of network lan must be a mapping of names to addresses",
        ),
        (
            "pools:\n  p: {first: 10.0.0.1, last: 10.0.0.9,\n    <<: {ttl: 9999d}}\n",
            "3: ttl of pool p is more than 3650d",
        ),
    ],
)
def test_a_mistake_that_is_merged_into_the_site(text: str, says: str, tmp_path: Path) -> None:
    path = site(tmp_path, vm("a", node="n"), text=text)
    assert mistakes(path) == [f"inventory/site.yml:{says}"]


@settings(deadline=None)
@given((SITES | NEARLY_RIGHT).flatmap(merging))
def test_a_site_with_merges_has_the_mistakes_of_the_one_without(document: Any) -> None:
    found = []
    for text in (dump(document), dump(flat(document))):
        with tempfile.TemporaryDirectory() as name:
            path = site(Path(name), vm("a", "ipconfig0: ip=10.0.0.2/24\n"), text=text)
            told: tuple[Problem, ...] = ()
            try:
                load_fleet(path)
            except DefinitionsError as error:
                told = error.problems
        assert all(problem.line >= 1 for problem in told)
        found.append({re.sub(rf"{name}|:\d+\)", "", problem.sentence) for problem in told})
    merged, plain = found
    assert merged == plain


def test_two_clusters_may_have_the_same_networks_inside(tmp_path: Path) -> None:
    inside = "{pods: 10.42.0.0/16, services: 10.43.0.0/16}"
    text = f"{SITE}clusters:\n  dev: {inside}\n  prod: {inside}\n"
    assert len(load_fleet(site(tmp_path, vm("a"), text=text)).site.cluster_networks) == 4


def test_k3s_own_networks_are_those_of_a_cluster_that_says_no_others(tmp_path: Path) -> None:
    text = "networks: {lan: {cidr: 10.42.7.0/24}}\n"
    machines = ("k8s-a", "k8s-b", "k8s-c-cp1", "web")
    path = site(tmp_path, *map(vm, machines), vm("k8s-d", "managed: false\n"), text=text)
    what = "K3s' own pods network, 10.42.0.0/16, overlaps network lan, 10.42.7.0/24"
    file = path / "inventory" / "site.yml"
    of_a, of_b = (
        f"vms/{number}.yaml:1: {what}: give {name} another (cluster-cidr in k3s_config), and say "
        f"which in clusters of {file}"
        for number, name in enumerate("ab")
    )
    assert mistakes(path) == [of_a, of_b]
    file.write_text(text + "clusters: {a: {pods: 10.52.0.0/16}, b: {services: 10.53.0.0/16}}\n")
    assert mistakes(path) == [of_b]
    file.write_text(text + "clusters: {a: {pods: 10.52.0.0/16}, b: {pods: 10.52.0.0/16}}\n")
    assert load_fleet(path)


@pytest.mark.parametrize("idle", ["vm_state: stopped\n", "template: true\n"])
def test_what_does_not_run_needs_no_memory(idle: str, tmp_path: Path) -> None:
    fleet = load_fleet(site(tmp_path, vm("a", f"memory: 9000\n{idle}"), vm("b", "memory: 9000\n")))
    assert fleet.site.vmid_range == range(500, 600)


def test_the_memory_of_unmanaged_vms_counts_as_far_as_it_is_known(tmp_path: Path) -> None:
    unmanaged = vm("a", "managed: false\n")
    path = site(tmp_path, unmanaged, vm("b", "memory: 16000\n"))
    assert len(load_fleet(path).definitions) == 2
    (path / "vms" / "0.yaml").write_text(unmanaged + "memory: 9000\n")
    assert mistakes(path) == [
        "vms/1.yaml:3: node01 has 16384 MiB of memory, its VMs ask for 25000 MiB, most b (16000)"
    ]
    (path / "vms" / "0.yaml").write_text(unmanaged + "memory: 9000\nvm_state: stopped\n")
    assert load_fleet(path)


def test_mistakes_of_vms_and_of_the_site_together(tmp_path: Path) -> None:
    path = site(tmp_path, "name: a\n", text="nodes: {n: {threads: 0}}\nnetwork: {}\n")
    assert mistakes(path) == [
        "inventory/site.yml:1: memory is missing of node n",
        "inventory/site.yml:1: threads of node n must be at least 1, not 0",
        "inventory/site.yml:2: unknown key 'network', did you mean networks?",
        "vms/0.yaml:1: target_node is missing",
    ]


BROKEN_SITE = """\
nodes:
  node01: {threads: 8, memory: lots}
  node02: {threads: 8, memory: 32768, storages: [data2]}
networks:
  lan: {cidr: 192.168.1.0/24}
  dmz: {cidr: everywhere}
pools:
  pool: {first: 10.0.0.1, last: 10.0.0.9}
"""


def test_a_mistake_in_one_file_hides_none_of_another(tmp_path: Path) -> None:
    address = "ipconfig0: ip=192.168.1.9/24\n"
    path = site(
        tmp_path,
        f"name: a\n{address}",
        f"name: b\nmemroy: 2048\n{address}",
        "name: c\ntarget_node: node9\nvm_state: started\nmemory: 99999\n",
        "name: d\ntags: - b\n",
        "name: e\ntarget_node: node02\ndisks: [{slot: scsi0, storage: data1, size: 1G}]\n",
        "target_node: node02\n",
        "name: f\ngroups: [e]\n",
        text=BROKEN_SITE,
    )
    (path / "vms" / "_defaults.yaml").write_text("target_node: node01\nvmid: 100\ncoers: 2\n")
    assert mistakes(path) == [
        "inventory/site.yml:2: memory of node node01 must be a whole number, not 'lots'",
        "inventory/site.yml:6: cidr of network dmz must be a CIDR as 10.0.0.0/24, not 'everywhere'",
        "vms/1.yaml:2: unknown key 'memroy', did you mean memory?",
        f"vms/1.yaml:3: b has 192.168.1.9, and so has a ({path}/vms/0.yaml:2)",
        f"vms/2.yaml:2: unknown node node9: {path}/inventory/site.yml has node01, node02",
        "vms/2.yaml:3: vm_state must be one of running, stopped, not 'started'",
        "vms/3.yaml:2: not valid YAML: block sequence entries are not allowed in this context",
        "vms/4.yaml:3: scsi0 of e is on data1, but node02 has data2",
        "vms/5.yaml:1: name is missing",
        "vms/6.yaml:2: a group is named like the host e",
        "vms/_defaults.yaml:2: vmid belongs to one VM, not to the defaults",
        "vms/_defaults.yaml:3: unknown key 'coers', did you mean cores?",
    ]


def test_too_many_cpus_are_told_at_the_key_that_a_vm_itself_has(tmp_path: Path) -> None:
    path = site(tmp_path, "name: a\nsockets: 9\n", text=SITE)
    (path / "vms" / "_defaults.yaml").write_text("target_node: node01\ncores: 2\n")
    assert mistakes(path) == ["vms/0.yaml:2: a asks for 18 CPUs, but node01 has 8 threads"]


def test_a_mistake_that_is_inherited_is_told_where_it_is_written(tmp_path: Path) -> None:
    path = site(tmp_path, "name: a\n", "name: b\n", "name: c\ntarget_node: node01\n", text=SITE)
    defaults = (
        "target_node: node9\n"
        "nested_disks:\n  scsi:\n    scsi0: {disk: {storage: data2, import-from: nas:import/a}}\n"
        "ipconfig0: ip=192.168.1.9/24\n"
        "groups: [b]\n"
        "network: {bridge: vmbr0, mac: bc:24:11:00:00:01}\n"
    )
    (path / "vms" / "_defaults.yaml").write_text(defaults)
    so_has = f"and so has a ({path}/vms/_defaults.yaml"
    found = [line.replace(f"{path}/inventory/site.yml", "SITE") for line in mistakes(path)]
    assert found == [
        "vms/_defaults.yaml:1: unknown node node9: SITE has node01, node02",
        "vms/_defaults.yaml:4: scsi0 of c is on data2, but node01 has local-lvm",
        f"vms/_defaults.yaml:4: scsi0 of c needs nas:import/a, but {NODE01}",
        f"vms/_defaults.yaml:5: b has 192.168.1.9, {so_has}:5)",
        f"vms/_defaults.yaml:5: c has 192.168.1.9, {so_has}:5)",
        "vms/_defaults.yaml:6: a group is named like the host b",
        f"vms/_defaults.yaml:7: b has BC:24:11:00:00:01, {so_has}:7)",
        f"vms/_defaults.yaml:7: c has BC:24:11:00:00:01, {so_has}:7)",
    ]


@pytest.mark.parametrize("defaults", ["target_node: 5\n", "target_node: [\n", "- node01\n", ""])
def test_what_broken_defaults_may_have_said_is_asked_of_no_vm(
    defaults: str, tmp_path: Path
) -> None:
    address = "ipconfig0: ip=192.168.1.9/24\n"
    path = site(tmp_path, f"name: a\n{address}", f"name: b\n{address}")
    (path / "vms" / "_defaults.yaml").write_text(defaults)
    of_vms, of_defaults = mistakes(path)
    assert of_vms == f"vms/1.yaml:2: b has 192.168.1.9, and so has a ({path}/vms/0.yaml:2)"
    assert of_defaults.startswith("vms/_defaults.yaml:")


PLACES = st.sampled_from(["vms/_defaults.yaml", "vms/a.yaml", "vms/b.yaml", "inventory/site.yml"])
LINES = SITE.splitlines() + vm("a", "memory: 99999\nipconfig0: ip=192.168.1.9/24\n").splitlines()


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(PLACES, st.lists(st.sampled_from([*LINES, "disks: [", "  x: {}", "- y"]))))
def test_any_site_is_a_fleet_or_mistakes(files: dict[str, list[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for place in ("vms", "inventory"):
            Path(folder, place).mkdir()
        for place, lines in files.items():
            Path(folder, place).write_text("\n".join(lines))
        found: Sized = ()
        try:
            found = load_fleet(Path(folder)).definitions
        except DefinitionsError as error:
            found = error.problems
        assert len(found)


def test_references_are_resolved_from_the_environment(tmp_path: Path) -> None:
    text = "sshkeys: {env: MY_KEYS}\n"
    vms = [vm("a", text), vm("b", text + "managed: false\n")]
    fleet = load_fleet(site(tmp_path, *vms))
    a, b = resolve(fleet.definitions, {"MY_KEYS": "ssh-ed25519 AAAA me\n"})
    assert a.sshkeys == "ssh-ed25519 AAAA me"
    assert b.sshkeys == fleet.definitions[1].sshkeys
    with pytest.raises(ResolveError, match=r"0\.yaml:3: sshkeys of a come from MY_KEYS, which is"):
        resolve(fleet.definitions, {})


def test_an_inherited_reference_is_named_where_it_stands(tmp_path: Path) -> None:
    folder = site(tmp_path, vm("a"))
    defaults = folder / "vms" / "_defaults.yaml"
    defaults.write_text("# shared\nsshkeys: {env: MY_KEYS}\n")
    fleet = load_fleet(folder)
    with pytest.raises(ResolveError) as caught:
        resolve(fleet.definitions, {})
    assert str(caught.value).startswith(f"{defaults}:2: sshkeys of a come from MY_KEYS")
    with pytest.raises(ResolveError) as caught:
        resolve(fleet.definitions, {"MY_KEYS": "none"})
    assert str(caught.value).startswith(f"{defaults}:2: MY_KEYS, the sshkeys of a, ")


def test_a_private_key_in_the_environment_goes_nowhere(tmp_path: Path) -> None:
    fleet = load_fleet(site(tmp_path, vm("a", "sshkeys: {env: MY_KEYS}\n")))
    secret = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n"
    with pytest.raises(ResolveError, match="MY_KEYS, the sshkeys of a, holds a private") as caught:
        resolve(fleet.definitions, {"MY_KEYS": secret})
    assert "b3Blbn" not in str(caught.value)
    with pytest.raises(ResolveError, match="has no public ssh key in its line 1"):
        resolve(fleet.definitions, {"MY_KEYS": "~/.ssh/id_ed25519.pub"})
    with pytest.raises(ResolveError, match="MY_KEYS, the sshkeys of a, is not UTF-8 text in its"):
        resolve(fleet.definitions, {"MY_KEYS": "ssh-ed25519 AAAA j\udcf6rg"})


def test_where_host_keys_are_pinned(tmp_path: Path) -> None:
    assert known_hosts_of(tmp_path, {}) == tmp_path / "inventory" / "known_hosts"
    assert known_hosts_of(tmp_path, {"STACKYARD_KNOWN_HOSTS": "/x/y"}) == Path("/x/y")
    # As Ansible's plugin takes it, whatever the working folder of either is.
    relative = known_hosts_of(tmp_path, {"STACKYARD_KNOWN_HOSTS": "lab_hosts"})
    assert relative == tmp_path / "inventory" / "lab_hosts"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "networks:\n  a: {cidr: 10.0.0.0/8}\n  b: {cidr: 10.1.0.0/16}\n",
            "3: networks a, 10.0.0.0/8, and b, 10.1.0.0/16, overlap",
        ),
        (
            "networks:\n  a: {cidr: 10.0.0.0/24, gateway: 10.0.1.1}\n",
            "2: the gateway 10.0.1.1 of network a is not in 10.0.0.0/24",
        ),
        (
            "networks: {a: {cidr: 10.0.0.0/24, ranges: {x: 10.0.0.9-10.0.0.20, y: 10.0.0.16/28}}}",
            "1: 10.0.0.16-10.0.0.31 of range y is in 10.0.0.9-10.0.0.20 of range x (SITE:1)",
        ),
        (
            "networks: {a: {cidr: 10.0.0.0/24, gateway: 10.0.0.9, ranges: {x: 10.0.0.8/29}}}",
            "1: 10.0.0.8-10.0.0.15 of range x holds the gateway of network a",
        ),
        (
            "networks:\n  a:\n    cidr: 10.0.0.0/24\n    vips: {x: 10.0.1.9}\n",
            "4: VIP x, 10.0.1.9, is not in network a, 10.0.0.0/24",
        ),
        (
            "networks:\n  a:\n    cidr: 10.0.0.0/24\n    vips: {x: 10.0.0.1-10.0.0.2}\n",
            "4: VIP x must be an address, not '10.0.0.1-10.0.0.2'",
        ),
        (
            "networks:\n  a:\n    cidr: 10.0.0.0/24\n    ranges: {x: 10.0.0.9-10.0.0.2}\n",
            "4: range x must be FIRST-LAST, a CIDR or an address, not '10.0.0.9-10.0.0.2'",
        ),
        (
            "networks:\n  lan: {cidr: 192.168.1.0/24}\nclusters:\n  p: {pods: 192.168.0.0/16}\n",
            "4: the pods network 192.168.0.0/16 of cluster p overlaps network lan, 192.168.1.0/24",
        ),
        (
            "clusters:\n  prod: {pods: 10.0.0.0/8, services: 10.96.0.0/12}\n",
            "2: pods 10.0.0.0/8 and services 10.96.0.0/12 of prod overlap",
        ),
        (
            "clusters:\n  x: {pods: many}\n",
            "2: pods of cluster x must be a CIDR as 10.42.0.0/16, not 'many'",
        ),
        (
            "networks: {lan: {cidr: 10.0.5.0/24}}\nclusters:\n  x: {pods: 10.0.0.0}\n",
            "3: pods of cluster x must be a CIDR as 10.42.0.0/16, not '10.0.0.0'",
        ),
        (
            "networks:\n  lan: {cidr: 10.0.5.0}\n",
            "2: cidr of network lan must be a CIDR as 10.0.0.0/24, not '10.0.5.0'",
        ),
        (
            "networks:\n  lan:\n    cidr: 10.0.5.0/24\n    dns: dns.example.org\n",
            "4: dns of network lan must be an address, not 'dns.example.org'",
        ),
    ],
)
def test_a_mistake_of_the_networks(text: str, says: str, tmp_path: Path) -> None:
    path = site(tmp_path, "name: a\ntarget_node: n\n", text=text)
    found = [line.replace(f"{path}/", "") for line in mistakes(path)]
    assert [line.replace("inventory/site.yml", "SITE") for line in found] == [f"SITE:{says}"]


@pytest.mark.parametrize(
    ("more", "address", "says"),
    [
        ("dns: 10.0.0.1", "10.0.0.1", ["VM: 10.0.0.1 of VM a is the gateway of network lan"]),
        ("dns: 10.0.0.3", "10.0.0.3", []),
        ("dns: 10.0.0.1", "10.0.0.9", []),
        (
            "dns: 10.0.0.1, vips: {v: 10.0.0.1}",
            "10.0.0.9",
            [
                "SITE: 10.0.0.1 of VIP v is the gateway of network lan",
            ],
        ),
        (
            "dns: 10.0.0.3, vips: {v: 10.0.0.3}",
            "10.0.0.3",
            [
                "VM: 10.0.0.3 of VM a is VIP v too (SITE)",
            ],
        ),
        (
            "dns: 10.0.0.3, ranges: {r: 10.0.0.3-10.0.0.9}",
            "10.0.0.3",
            [
                "VM: 10.0.0.3 of VM a is in 10.0.0.3-10.0.0.9 of range r (SITE)",
            ],
        ),
        (
            "dns: 10.0.0.5, ranges: {r: 10.0.0.3-10.0.0.9}",
            "10.0.0.2",
            [],
        ),
        (
            "dns: 10.0.0.1}}\npools: {p: {first: 10.0.0.1, last: 10.0.0.9",
            "10.0.0.20",
            [
                "SITE: 10.0.0.1-10.0.0.9 of pool p holds the DNS server of network lan",
                "SITE: 10.0.0.1-10.0.0.9 of pool p holds the gateway of network lan",
            ],
        ),
        (
            "dns: 10.0.0.255",
            "10.0.0.2",
            ["SITE: 10.0.0.255 of DNS lan is the broadcast address of network lan"],
        ),
    ],
)
def test_a_dns_server_is_a_vm_or_the_gateway_and_hides_nobody(
    more: str, address: str, says: list[str], tmp_path: Path
) -> None:
    text = f"networks: {{lan: {{cidr: 10.0.0.0/24, gateway: 10.0.0.1, {more}}}}}\n"
    path = site(tmp_path, vm("a", f"ipconfig0: ip={address}/24\n"), text=text)
    found: list[str] = []
    try:
        load_fleet(path)
    except DefinitionsError as error:
        found = str(error).splitlines()
    places = {f"{path}/inventory/site.yml": "SITE", f"{path}/vms/0.yaml": "VM"}
    for place, name in places.items():
        found = [re.sub(rf"{place}:\d+", name, line) for line in found]
    assert found == says


def test_a_network_of_the_other_family_is_no_concern(tmp_path: Path) -> None:
    more = "ipconfig0: ip=192.168.1.9/24,ip6=fd00::9/64,gw6=fe80::1\n"
    assert load_fleet(site(tmp_path, vm("a", more)))


def test_addresses_of_both_families_are_planned(tmp_path: Path) -> None:
    text = "networks: {six: {cidr: 'fd00::/64', gateway: 'fd00::1'}}\n"
    more = "ipconfig0: ip6=fd00:1::9/64,gw6=fe80::1\n"
    path = site(tmp_path, vm("a", more), text=text)
    assert mistakes(path) == [
        "vms/0.yaml:3: fd00:1::9 is in no network of the site (six fd00::/64)"
    ]


def test_a_gateway_of_ipv6_may_be_link_local(tmp_path: Path) -> None:
    text = "networks:\n  six: {cidr: 'fd00::/64', gateway: 'fe80::1'}\n"
    path = site(tmp_path, vm("a", "ipconfig0: ip6=fd00::9/64,gw6=fe80::1\n"), text=text)
    assert load_fleet(path).site.networks["six"].gateway == IPAddress("fe80::1")
    for other in ("fd00::1", "fe80::2"):
        config = f"ipconfig0: ip6=fd00::9/64,gw6={other}\n"
        (path / "vms" / "0.yaml").write_text(vm("a", config))
        says = f"vms/0.yaml:3: the gateway of network six is fe80::1, not {other}"
        assert mistakes(path) == [says]
    for cidr, gateway in (("10.0.0.0/24", "fe80::1"), ("10.0.0.0/24", "169.254.0.1")):
        one = f"networks: {{lan: {{cidr: {cidr}, gateway: '{gateway}'}}}}\n"
        (path / "inventory" / "site.yml").write_text(one)
        assert mistakes(path)[0].endswith(f"the gateway {gateway} of network lan is not in {cidr}")


ADDRESSES = st.integers(0, 63)


@settings(deadline=None)
@given(st.lists(ADDRESSES, max_size=8), st.lists(st.tuples(ADDRESSES, ADDRESSES), max_size=3))
def test_free_and_taken_are_the_whole_network(vms: list[int], spans: list[tuple[int, int]]) -> None:
    base = IPAddress("10.0.0.0")
    ranges = tuple(
        Range(str(number), "range", base + min(span), base + max(span), 1)
        for number, span in enumerate(spans)
    )
    network = Network("n", IPNetwork("10.0.0.0/26"), base + 1, None, ranges)
    machines = [
        parse_vm(vm(f"v{number}", f"ipconfig0: ip={base + host}/26\n"))
        for number, host in enumerate(vms)
    ]
    entries = taken(network, machines, "site.yml")
    gaps = list(free(network, entries))
    used = {address for e in entries for address in range(int(e.first), int(e.last) + 1)}
    unused = [address for g in gaps for address in range(int(g.first), int(g.last) + 1)]
    assert sorted([*used, *unused]) == list(range(int(base), int(base) + 64))
    if unused:
        assert int(next_free(network, entries)) == min(unused)
    else:
        with pytest.raises(AddressError, match="has no free address"):
            next_free(network, entries)


HOSTS = st.integers(0, 15)
SPANS = st.lists(st.tuples(HOSTS, HOSTS, st.sampled_from(["range", "pool", "VIP"])), max_size=3)


@settings(deadline=None)
@given(st.lists(HOSTS, max_size=3), SPANS, st.none() | HOSTS, HOSTS)
def test_a_dns_server_never_makes_a_mistake_disappear(
    vms: list[int], spans: list[tuple[int, int, str]], gateway: int | None, dns: int
) -> None:
    base = IPAddress("10.0.0.0")
    ranges = tuple(
        Range(
            f"{kind}{n}",
            kind,
            base + min(a, b),
            base + (min(a, b) if kind == "VIP" else max(a, b)),
            1,
        )
        for n, (a, b, kind) in enumerate(spans)
    )
    machines = [
        parse_vm(vm(f"v{n}", f"ipconfig0: ip={base + host}/28\n")) for n, host in enumerate(vms)
    ]
    cidr, router = IPNetwork("10.0.0.0/28"), None if gateway is None else base + gateway
    without, with_dns = (
        set(check_overlaps(machines, Site(Path("site.yml"), {}, {"n": network})))
        for network in (
            Network("n", cidr, router, None, ranges),
            Network("n", cidr, router, base + dns, ranges),
        )
    )
    assert without <= with_dns
    # In no pool, whose addresses are given away, and no address of the network itself, it is none.
    pools = [r for r in ranges if r.kind == "pool"]
    alone = not any(r.first <= base + dns <= r.last for r in pools) and 0 < dns < 15
    assert (without == with_dns) == alone


def addresses(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stackyard.cli.main", "addresses", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_address_plan_as_a_table(tmp_path: Path) -> None:
    path = str(site(tmp_path, vm("a", "ipconfig0: ip=192.168.1.3/24\n")))
    assert addresses("--site", path).stdout.splitlines() == [
        "lan  192.168.1.0/24  241 free",
        "  192.168.1.0                 network   lan",
        "  192.168.1.1                 gateway   lan",
        "  192.168.1.2                 free",
        "  192.168.1.3                 VM        a",
        "  192.168.1.4-192.168.1.49    free (46)",
        "  192.168.1.50                VIP       api",
        "  192.168.1.51-192.168.1.59   free (9)",
        "  192.168.1.60-192.168.1.69   range     lb (10)",
        "  192.168.1.70-192.168.1.254  free (185)",
        "  192.168.1.255               broadcast lan",
    ]


def test_the_next_free_address(tmp_path: Path) -> None:
    path = str(site(tmp_path, vm("a", "ipconfig0: ip=192.168.1.2/24\n")))
    done = addresses("next", "--network", "lan", "--site", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "192.168.1.3\n", "")
    assert addresses("--site", path, "next").stdout == "192.168.1.3\n"
    done = addresses("next", "--network", "wan", "--site", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no network wan" in done.stderr
