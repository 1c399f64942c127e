"""Hosts, groups and variables that plays, AWX and Nornir get from the definitions."""

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from nornir import InitNornir
from nornir.core import Nornir
from nornir.core.filter import F

from stackyard.definitions.load import DefinitionsError, load_definitions, parse_vm
from stackyard.inventory import Inventory, InventoryError, build_inventory
from stackyard.inventory.view import variables_of
from stackyard.nornir.inventory import StackyardInventory


def inventory(*texts: str) -> Inventory:
    return build_inventory([parse_vm(text, f"{n}.yaml") for n, text in enumerate(texts)])


def vm(name: str, more: str = "") -> str:
    return f"name: {name}\ntarget_node: node-1\n{more}"


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("k8s-tools", {"k3s", "cluster_tools", "cluster_tools_control_plane"}),
        (
            "k8s-dev-cp1",
            {"kubeadm_control_plane", "cluster_dev", "cluster_dev_control_plane"},
        ),
        ("k8s-dev-w12", {"kubeadm_workers", "cluster_dev", "cluster_dev_workers"}),
        (
            "talos-my-prod-cp1",
            {"talos_control_plane", "cluster_my_prod", "cluster_my_prod_control_plane"},
        ),
        ("talos-prod-w2", {"talos_workers", "cluster_prod", "cluster_prod_workers"}),
        ("haproxy", {"haproxy_servers"}),
        ("haproxy-dmz", {"haproxy_servers"}),
        ("postgres", set()),
    ],
)
def test_groups_come_from_the_name(name: str, groups: set[str]) -> None:
    host = inventory(vm(name)).hosts[name]
    assert set(host.groups) == groups | {"node_node_1"}


def test_groups_of_tags_state_and_choice() -> None:
    more = "tags: [Blue-Team]\nvm_state: stopped\ngroups: [databases]\nmanaged: false\n"
    groups = inventory(vm("postgres", more)).hosts["postgres"].groups
    assert set(groups) == {
        "tag_blue_team",
        "state_stopped",
        "databases",
        "unmanaged",
        "node_node_1",
    }


def test_a_template_is_stopped_for_the_plays_whatever_its_name() -> None:
    host = inventory(vm("k8s-template", "template: true\n")).hosts["k8s-template"]
    assert {group for group in host.groups if group.startswith("state_")} == {"state_stopped"}


def test_a_cluster_is_a_group_with_its_name() -> None:
    made = inventory(vm("k8s-dev-cp1"), vm("k8s-dev-w1"))
    assert made.groups["cluster_dev"].hosts == ("k8s-dev-cp1", "k8s-dev-w1")
    assert made.groups["cluster_dev"].children == (
        "cluster_dev_control_plane",
        "cluster_dev_workers",
    )
    assert made.groups["cluster_dev_workers"].hosts == ("k8s-dev-w1",)
    assert made.groups["cluster_dev"].variables == {
        "cluster_name": "dev",
        "cluster_members": ["k8s-dev-cp1", "k8s-dev-w1"],
    }
    assert made.groups["kubeadm"].children == ("kubeadm_control_plane", "kubeadm_workers")
    assert made.hosts["k8s-dev-w1"].variables["cluster_name"] == "dev"


def test_connection_variables() -> None:
    more = "ipconfig0: ip=192.168.1.20/24,gw=192.168.1.1\nciuser: suporte\nvariables: {x: 1}\n"
    host = inventory(vm("a", more)).hosts["a"]
    assert host.address == "192.168.1.20"
    assert host.variables["ansible_host"] == "192.168.1.20"
    assert host.variables["ansible_user"] == "suporte"
    assert host.variables["x"] == 1
    hidden = inventory(vm("a", more + "define_connection_info: false\n")).hosts["a"]
    assert not {"ansible_host", "ansible_user"} & set(hidden.variables)
    leased = inventory(vm("a", "ipconfig0: ip=dhcp\n")).hosts["a"]
    assert leased.address is None
    assert "ansible_host" not in leased.variables


@pytest.mark.parametrize(
    ("configs", "address"),
    [
        (["ip6=2001:db8::5/64,gw6=fe80::1"], "2001:db8::5"),
        (["ip6=auto", "ip6=2001:0DB8:0::5/64"], "2001:db8::5"),
        (["ip6=2001:db8::5/64", "ip=10.0.0.5/24"], "10.0.0.5"),
        (["ip=dhcp,ip6=2001:db8::5/64"], None),  # what is leased is asked for
        (["ip6=dhcp"], None),
        (["ip6=2001:db8::5/64", "skip_ipv6: true"], None),
    ],
)
def test_a_machine_without_ipv4_is_reached_by_ipv6(configs: list[str], address: str) -> None:
    more = "".join(
        f"{text}\n" if ": " in text else f"ipconfig{number}: {text}\n"
        for number, text in enumerate(configs)
    )
    host = inventory(vm("a", more)).hosts["a"]
    assert (host.address, host.variables.get("ansible_host")) == (address, address)


@pytest.mark.parametrize("folder", ["/site", "/my site", "/100%host", 'it\'s "x"', "/a\\b"])
def test_host_keys_are_pinned(folder: str) -> None:
    """Ansible splits the text as a shell does; what ssh makes of it is what ssh says itself."""
    known_hosts = Path("/", folder, "known_hosts")
    made = build_inventory([parse_vm(vm("a"))], known_hosts)
    options = shlex.split(made.variables["ansible_ssh_common_args"])
    program = shutil.which("ssh")
    assert program
    command = [program, "-G", *options, "a"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"\nuserknownhostsfile {known_hosts}\n" in shown.stdout
    assert "\nstricthostkeychecking true\n" in shown.stdout
    # ssh takes a list of files, and would show two of them as it shows one with a space.
    assert " " not in folder or options[1].endswith('known_hosts"')


def test_a_group_named_like_a_host_is_refused() -> None:
    with pytest.raises(InventoryError, match=r"^1\.yaml:3: a group is named like the host a$"):
        inventory(vm("a"), vm("b", "groups: [a]\n"))


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_a_host_named_like_the_one_ansible_runs_on_is_refused(name: str) -> None:
    """Tasks for the controller would go to it."""
    said = rf"^0\.yaml:1: {name} is where Ansible itself runs: rename it$"
    with pytest.raises(InventoryError, match=said):
        inventory(vm(name))


def test_clusters_that_would_share_a_group_are_refused() -> None:
    with pytest.raises(InventoryError, match="share the group cluster_a_b: rename one"):
        inventory(vm("k8s-a-b"), vm("k8s-a.b"))


@pytest.mark.parametrize(
    ("one", "other", "kinds"),
    [("k8s-x", "talos-x-cp1", "k3s talos"), ("k8s-x", "k8s-x-cp1", "k3s kubeadm"),
     ("k8s-x-w1", "talos-x-w1", "kubeadm talos")],
)  # fmt: skip
def test_a_cluster_is_of_one_kind(one: str, other: str, kinds: str, tmp_path: Path) -> None:
    """Else the endpoint of K3s would be the address of a Talos machine."""
    folder = tmp_path / "vms"
    folder.mkdir()
    for name in (one, other):
        (folder / f"{name}.yaml").write_text(f"name: {name}\ntarget_node: n\n")
    first, second = kinds.split()
    with pytest.raises(InventoryError) as caught:
        build_inventory(load_definitions(tmp_path))
    assert str(caught.value) == (
        f"{folder / other}.yaml:1: {other} ({second}) and {one} ({first}, {folder / one}.yaml:1)"
        " would share the group cluster_x as one cluster: rename one"
    )


def test_keys_are_no_variables() -> None:
    host = inventory(vm("a", "sshkeys: {env: KEYS}\n")).hosts["a"]
    assert "sshkeys" not in host.variables["stackyard_definition"]


def test_a_definition_is_what_it_and_the_defaults_give(tmp_path: Path) -> None:
    """Devices are texts, defaults of the table absent, unless somebody gives them."""
    (tmp_path / "vms").mkdir()
    (tmp_path / "vms" / "_defaults.yaml").write_text("onboot: true\nserial: true\nclone: t\n")
    (tmp_path / "vms" / "a.yaml").write_text(
        "name: a\ntarget_node: n\nmemory: 1024\nclone: null\ntags: [B, a]\n"
        "disks: [{slot: scsi0, storage: s1, size: 2G, ssd: true}, {slot: ide2, type: cdrom,"
        " iso: 'local:iso/x.iso'}]\n"
        "networks: [{bridge: vmbr0, vlan: 7, firewall: true}, {bridge: vmbr1}]\n"
        "ipconfig1: ip=10.0.0.1/24\nusb0: spice\ncipassword: {vault: kv/a#B}\n"
    )
    (host,) = build_inventory(load_definitions(tmp_path)).hosts.values()
    assert host.variables["stackyard_definition"] == {
        "name": "a",
        "target_node": "n",
        "memory_mib": 1024,
        "onboot": True,
        "cipassword": {"vault": "kv/a#B"},
        "tags": ["a", "b"],
        "scsi0": "media=disk,storage=s1,size_bytes=2147483648,ssd=1",
        "ide2": "media=iso,volume=local:iso/x.iso",
        "net0": "bridge=vmbr0,firewall=1,vlan=7",
        "net1": "bridge=vmbr1",
        "ipconfig1": "ip=10.0.0.1/24",
        "serial0": "socket",
        "usb0": "host=spice",
    }


def test_a_clusters_endpoint_is_its_first_control_plane() -> None:
    made = inventory(
        vm("k8s-dev-cp10", "ipconfig0: ip=192.168.1.60/24\n"),
        vm("k8s-dev-cp2", "ipconfig0: ip=192.168.1.52/24\n"),
        vm("k8s-dev-cp1", "ipconfig0: ip=dhcp\n"),
        vm("k8s-dev-w1", "ipconfig0: ip=192.168.1.2/24\n"),
    )
    assert (made.groups["cluster_dev"].variables or {})["cluster_endpoint"] == "192.168.1.52"


def test_a_cluster_named_like_a_part_of_another_is_refused() -> None:
    with pytest.raises(InventoryError, match="share the group cluster_dev_workers with a part of"):
        inventory(vm("k8s-dev-w1"), vm("k8s-dev-workers"))


@pytest.mark.parametrize("group", ["all", "ungrouped"])
def test_ansibles_own_groups_are_left_alone(group: str) -> None:
    with pytest.raises(InventoryError, match=rf"^0\.yaml:3: the group {group} is Ansible's own"):
        inventory(vm("a", f"groups: [{group}]\n"))
    with pytest.raises(InventoryError, match=f"a group is named like the host {group}"):
        inventory(vm(group))


def test_the_variables_of_hosts_are_no_group() -> None:
    with pytest.raises(InventoryError, match=r"^0\.yaml:3: the group _meta is Ansible's own"):
        inventory(vm("a", "groups: [_meta]\n"))


def test_no_variable_takes_the_place_of_the_definition() -> None:
    with pytest.raises(InventoryError, match=r"^0\.yaml:3: stackyard_definition in variables is"):
        inventory(vm("a", "variables: {stackyard_definition: mine}\n"))


def test_a_group_of_ones_own_may_be_a_clusters() -> None:
    made = inventory(vm("k8s-dev-cp1"), vm("storage", "groups: [cluster_dev]\n"))
    assert made.groups["cluster_dev"].hosts == ("k8s-dev-cp1", "storage")
    assert (made.groups["cluster_dev"].variables or {})["cluster_members"] == ["k8s-dev-cp1"]


def test_nornir_has_defaults_and_connection_options(tmp_path: Path) -> None:
    (tmp_path / "vms").mkdir()
    (tmp_path / "vms" / "a.yaml").write_text(vm("k8s-dev-w1", "ciuser: me\n"))
    nornir = InitNornir(
        inventory={
            "plugin": "StackyardInventory",
            "options": {
                "site": str(tmp_path),
                "defaults": {"port": 2222, "platform": "linux", "data": {"zone": "home"}},
                "connection_options": {"ssh": {"extras": {"timeout": 5}}},
            },
        },
        logging={"enabled": False},
    )
    (host,) = nornir.filter(F(has_parent_group="kubeadm")).inventory.hosts.values()
    assert (host.port, host.platform, host.username, host["zone"]) == (2222, "linux", "me", "home")
    assert host["cluster_members"] == ["k8s-dev-w1"]
    parameters = host.get_connection_parameters("ssh")
    assert (parameters.port, parameters.extras) == (2222, {"timeout": 5})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"defaults": {"user": "me"}}, "defaults take no user: they take port"),
        ({"defaults": {"connection_options": {"ssh": {}}}}, "defaults take no connection_options"),
        ({"connection_options": {"ssh": {"timeout": 5}}}, "connection_options of ssh take no time"),
    ],
)
def test_nornir_passes_over_no_option(options: dict[str, Any], says: str, tmp_path: Path) -> None:
    (tmp_path / "vms").mkdir()
    (tmp_path / "vms" / "a.yaml").write_text(vm("a"))
    with pytest.raises(InventoryError, match=f"^{says}"):
        StackyardInventory(str(tmp_path), **options).load()


def nornir(tmp_path: Path, **definitions: str) -> Nornir:
    (tmp_path / "vms").mkdir()
    for name, more in definitions.items():
        (tmp_path / "vms" / f"{name}.yaml").write_text(vm(name.replace("_", "-"), more))
    options = {"site": str(tmp_path)}
    source = {"plugin": "StackyardInventory", "options": options}
    return InitNornir(inventory=source, logging={"enabled": False})


def test_nornir_connects_as_ansible_does(tmp_path: Path) -> None:
    fixed = [f"ipconfig0: ip=10.0.0.{number}/24\nciuser: me\n" for number in range(1, 4)]
    own = "{ansible_port: 2022, ansible_password: made-up, ansible_network_os: eos}"
    made = nornir(
        tmp_path,
        own=f"{fixed[0]}variables: {own}\n",
        text=f"{fixed[1]}variables: {{ansible_port: '2022', ansible_user: you}}\n",
        hidden=f"{fixed[2]}define_connection_info: false\n",
        leased="ipconfig0: ip=dhcp\nciuser: me\n",
        cleared="variables: {ansible_host: null}\n",
    )
    found = {
        name: (host.hostname, host.port, host.username, host.password, host.platform)
        for name, host in made.inventory.hosts.items()
    }
    assert found == {
        "own": ("10.0.0.1", 2022, "me", "made-up", "eos"),
        "text": ("10.0.0.2", 2022, "you", None, None),
        "hidden": ("hidden", None, None, None, None),
        "leased": ("leased", None, "me", None, None),
        "cleared": ("cleared", None, None, None, None),
    }


def test_nornir_has_every_group_of_a_host_and_ansibles_order(tmp_path: Path) -> None:
    groups = "groups: [cluster_a, cluster_b, cluster_a_control_plane]\n"
    made = nornir(tmp_path, k8s_a_cp1="", k8s_b_cp1="", storage=groups)
    assert set(made.filter(F(groups__contains="kubeadm")).inventory.hosts) == {
        "k8s-a-cp1",
        "k8s-b-cp1",
    }
    desired = build_inventory(load_definitions(tmp_path))
    for name, host in made.inventory.hosts.items():
        assert {key: host[key] for key in host.extended_data()} == variables_of(desired, name)
    assert made.inventory.hosts["storage"]["cluster_name"] == "b"


def test_nornir_finds_a_site_below_ones_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site" / "vms").mkdir(parents=True)
    (tmp_path / "site" / "vms" / "a.yaml").write_text(vm("a"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert list(StackyardInventory("~/site").load().hosts) == ["a"]


def test_nornir_gets_no_inventory_from_mistakes(tmp_path: Path) -> None:
    (tmp_path / "vms").mkdir()
    (tmp_path / "vms" / "a.yaml").write_text("name: a\n")
    with pytest.raises(DefinitionsError, match="target_node is missing"):
        InitNornir(
            inventory={"plugin": "StackyardInventory", "options": {"site": str(tmp_path)}},
            logging={"enabled": False},
        )
