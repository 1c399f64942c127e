"""Mistakes that only show when all definitions and the site are seen together."""

from pathlib import Path

import pytest

from stackyard.definitions.load import DefinitionsError
from stackyard.fleet import ResolveError, known_hosts_of, load_fleet, resolve

SITE = """\
nodes:
  node01: {threads: 8, memory: 16384, storages: [local-lvm]}
  node02: {threads: 8, memory: 32768}
networks:
  lan: {cidr: 192.168.1.0/24, gateway: 192.168.1.1}
vmid_range: {first: 500, last: 599}
"""


def site(tmp_path: Path, *vms: str, text: str = SITE) -> Path:
    for folder in ("vms", "inventory"):
        (tmp_path / folder).mkdir()
    (tmp_path / "inventory" / "site.yml").write_text(text)
    for number, vm in enumerate(vms):
        (tmp_path / "vms" / f"{number}.yaml").write_text(vm)
    return tmp_path


def vm(name: str, more: str = "", node: str = "node01") -> str:
    return f"name: {name}\ntarget_node: {node}\n{more}"


def mistakes(path: Path) -> list[str]:
    with pytest.raises(DefinitionsError) as caught:
        load_fleet(path)
    return [line.removeprefix(f"{path}/") for line in str(caught.value).splitlines()]


@pytest.mark.parametrize(
    ("vms", "says"),
    [
        ([vm("a", node="node9")], ["0.yaml:2: unknown node node9: SITE has node01, node02"]),
        (
            [vm("a", "disks: [{slot: scsi0, storage: data2, size: 1G}]\n")],
            ["0.yaml:3: scsi0 is on data2, but node01 has local-lvm"],
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
            ["0.yaml:3: 192.168.1.1 is the gateway of network lan"],
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


def test_a_stopped_vm_needs_no_memory(tmp_path: Path) -> None:
    stopped = "memory: 9000\nvm_state: stopped\n"
    fleet = load_fleet(site(tmp_path, vm("a", stopped), vm("b", "memory: 9000\n")))
    assert fleet.site.vmid_range == range(500, 600)


def test_mistakes_of_vms_and_of_the_site_together(tmp_path: Path) -> None:
    path = site(tmp_path, "name: a\n", text="nodes: {n: {threads: 0}}\nnetwork: {}\n")
    assert mistakes(path) == [
        "inventory/site.yml:1: memory is missing of node n",
        "inventory/site.yml:1: threads of node n must be at least 1, not 0",
        "inventory/site.yml:2: unknown key 'network', did you mean networks?",
        "vms/0.yaml:1: target_node is missing",
    ]


def test_references_are_resolved_from_the_environment(tmp_path: Path) -> None:
    text = "sshkeys: {env: MY_KEYS}\n"
    vms = [vm("a", text), vm("b", text + "managed: false\n")]
    fleet = load_fleet(site(tmp_path, *vms))
    a, b = resolve(fleet.definitions, {"MY_KEYS": "ssh-ed25519 AAAA me\n"})
    assert a.sshkeys == "ssh-ed25519 AAAA me"
    assert b.sshkeys == fleet.definitions[1].sshkeys
    with pytest.raises(ResolveError, match=r"0\.yaml:3: sshkeys of a come from MY_KEYS, which is"):
        resolve(fleet.definitions, {})


def test_where_host_keys_are_pinned(tmp_path: Path) -> None:
    assert known_hosts_of(tmp_path, {}) == tmp_path / "inventory" / "known_hosts"
    assert known_hosts_of(tmp_path, {"STACKYARD_KNOWN_HOSTS": "/x/y"}) == Path("/x/y")
