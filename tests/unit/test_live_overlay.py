"""What Proxmox knows, laid over the desired inventory."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackyard.definitions.load import parse_vm
from stackyard.inventory import Inventory, InventoryError, build_inventory
from stackyard.plan import TAG
from stackyard.proxmox.facts import Facts, from_json, interfaces_of, to_json
from stackyard.proxmox.overlay import OURS, Include, lay_over, match

STATIC = "ipconfig0: ip=192.168.1.20/24,gw=192.168.1.1\n"
DHCP = "ipconfig0: ip=dhcp\n"
ALL = Include()


def inventory(**definitions: str) -> Inventory:
    texts = {name.replace("_", "-"): more for name, more in definitions.items()}
    return build_inventory(
        parse_vm(f"name: {name}\ntarget_node: node01\n{more}", f"{name}.yaml")
        for name, more in texts.items()
    )


def card(name: str, *addresses: str) -> dict[str, Any]:
    return {"name": name, "mac-address": "bc:24:11:00:00:01", "ip-addresses": list(addresses)}


def facts(vmid: int, name: str | None, **more: Any) -> Facts:
    return Facts(**{"vmid": vmid, "node": "node02", "name": name, "status": "running", **more})


def test_a_host_gets_what_proxmox_knows() -> None:
    seen = facts(
        150,
        "k8s-tools",
        tags=("stackyard", "blue"),
        pool="lab",
        interfaces=(card("lo", "127.0.0.1/8"), card("eth0", "192.168.1.20/24")),
    )
    host = lay_over(inventory(k8s_tools=STATIC), {"k8s-tools": seen}).hosts["k8s-tools"]
    expected = {
        "proxmox_vmid": 150,
        "proxmox_vmtype": "qemu",
        "proxmox_name": "k8s-tools",
        "proxmox_node": "node02",
        "proxmox_status": "running",
        "proxmox_template": False,
        "proxmox_tags": "stackyard;blue",
        "proxmox_tags_parsed": ["stackyard", "blue"],
        "proxmox_pool": "lab",
        "proxmox_agent_interfaces": [
            card("lo", "127.0.0.1/8"),
            card("eth0", "192.168.1.20/24"),
        ],
        "proxmox_addresses": ["192.168.1.20"],
    }
    found = {name: v for name, v in host.variables.items() if name.startswith("proxmox_")}
    assert found == expected
    assert {"power_running", "pool_lab", "k3s", "node_node01"} <= set(host.groups)


def test_a_leased_address_is_connected_to_and_a_defined_one_stays() -> None:
    desired = inventory(leased=DHCP, fixed=STATIC, silent=DHCP)
    seen = {
        "leased": facts(1, "leased", interfaces=(card("eth0", "fe80::1/64", "10.0.0.7/24"),)),
        "fixed": facts(2, "fixed", interfaces=(card("eth0", "10.0.0.8/24"),)),
        "silent": facts(3, "silent"),
    }
    hosts = lay_over(desired, seen).hosts
    assert hosts["leased"].variables["ansible_host"] == hosts["leased"].address == "10.0.0.7"
    assert hosts["fixed"].variables["ansible_host"] == hosts["fixed"].address == "192.168.1.20"
    assert hosts["fixed"].variables["proxmox_addresses"] == ["10.0.0.8"]
    assert hosts["silent"].address is None
    assert "ansible_host" not in hosts["silent"].variables


def test_a_leased_address_is_known_by_its_hosts_name() -> None:
    texts = {
        "leased": DHCP,
        "other-port": f"{DHCP}variables: {{ansible_port: 2222}}\n",
        "fixed": STATIC,
        "own": f"{DHCP}variables: {{ansible_ssh_common_args: -v}}\n",
    }
    vms = [
        parse_vm(f"name: {name}\ntarget_node: node01\n{more}", f"{name}.yaml")
        for name, more in texts.items()
    ]
    cards = (card("eth0", "10.0.0.7/24"),)
    desired = build_inventory(vms, Path("/site/inventory/known_hosts"))
    made = lay_over(desired, {name: facts(1, name, interfaces=cards) for name in texts})
    told = {n: host.variables.get("ansible_ssh_common_args") for n, host in made.hosts.items()}
    pinning = desired.variables["ansible_ssh_common_args"]
    assert told == {
        "leased": f"{pinning} -o HostKeyAlias=leased",
        "other-port": f"{pinning} -o HostKeyAlias=[other-port]:2222",
        "fixed": None,
        "own": "-v",
    }


def test_a_leased_control_plane_is_a_clusters_endpoint() -> None:
    desired = inventory(k8s_dev_cp1=DHCP, k8s_dev_cp2=STATIC, talos_x_cp1=DHCP)
    assert _endpoint(desired, "dev") == "192.168.1.20"
    assert _endpoint(desired, "x") is None
    cards = (card("eth0", "10.0.0.7/24"),)
    names = ("k8s-dev-cp1", "talos-x-cp1")
    made = lay_over(desired, {name: facts(1, name, interfaces=cards) for name in names})
    assert _endpoint(made, "dev") == _endpoint(made, "x") == "10.0.0.7"


def _endpoint(made: Inventory, cluster: str) -> object:
    return (made.groups[f"cluster_{cluster}"].variables or {}).get("cluster_endpoint")


def test_a_host_without_ipv6_gets_no_ipv6_address() -> None:
    cards = (card("eth0", "2001:db8::5/64"), card("eth1", "10.0.0.7/24"))
    for skip, address in (("true", "10.0.0.7"), ("false", "2001:db8::5")):
        desired = inventory(a=f"{DHCP}skip_ipv6: {skip}\n")
        made = lay_over(desired, {"a": facts(1, "a", interfaces=cards)})
        assert made.hosts["a"].address == address


def test_no_connection_variables_where_the_definition_wants_none() -> None:
    desired = inventory(a=DHCP + "define_connection_info: false\n")
    seen = {"a": facts(1, "a", interfaces=(card("eth0", "10.0.0.7/24"),))}
    assert "ansible_host" not in lay_over(desired, seen).hosts["a"].variables


def test_a_definitions_own_variables_win() -> None:
    desired = inventory(a=DHCP + "variables: {ansible_host: jump, proxmox_status: mine}\n")
    seen = {"a": facts(1, "a", interfaces=(card("eth0", "10.0.0.7/24"),))}
    variables = lay_over(desired, seen).hosts["a"].variables
    assert (variables["ansible_host"], variables["proxmox_status"]) == ("jump", "mine")


def test_a_defined_vm_that_is_not_there_is_absent() -> None:
    made = lay_over(inventory(a=STATIC), {})
    assert made.hosts["a"].variables["proxmox_status"] == "absent"
    assert made.groups["power_absent"].hosts == ("a",)


def test_cards_come_before_bridges_and_ipv4_before_ipv6() -> None:
    seen = facts(
        1,
        "a",
        interfaces=(
            card("lo", "127.0.0.1/8", "::1/128"),
            card("ens18", "fe80::1/64", "2001:db8::5/64", "192.168.1.5/24"),
            card("docker0", "172.17.0.1/16"),
            card("ens19"),
        ),
    )
    assert seen.addresses == ("192.168.1.5", "2001:db8::5", "172.17.0.1")


@pytest.mark.parametrize(
    "cards",
    [
        [
            card("lo", "127.0.0.1/8", "::1/128", "10.0.0.100/32"),
            card("eth0", "10.0.0.7/24"),
        ],
        [card("eth0", "10.0.0.100/32", "10.0.0.7/24", "::ffff:127.0.0.1/96")],
    ],
)
def test_a_virtual_address_is_no_machines_own(cards: list[dict[str, Any]]) -> None:
    """Several machines have it, so that connecting to it may reach another one."""
    seen = facts(1, "k8s-x", interfaces=tuple(cards))
    made = lay_over(inventory(k8s_x=DHCP), {"k8s-x": seen})
    assert made.hosts["k8s-x"].variables["ansible_host"] == "10.0.0.7"
    assert _endpoint(made, "x") == "10.0.0.7"
    assert seen.addresses == ("10.0.0.7", "10.0.0.100")


def test_where_nothing_else_is_routed_the_loopbacks_address_is_the_hosts() -> None:
    cards = (card("lo", "127.0.0.1/8", "10.255.0.1/32"), card("eth0", "fe80::1/64"))
    assert facts(1, "a", interfaces=cards).addresses == ("10.255.0.1",)


def test_an_agent_that_cannot_tell_has_no_interfaces() -> None:
    assert interfaces_of({"result": {"error": {"class": "Unsupported"}}}) == ()
    assert interfaces_of({"result": [{"name": "eth0"}]}) == (
        {"name": "eth0", "mac-address": "", "ip-addresses": []},
    )


json_values = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["result", "name", "ip-addresses", "ip-address", "prefix"]), inner
        )
    ),
)


@given(json_values | st.lists(json_values, max_size=3).map(lambda found: {"result": found}))
def test_whatever_a_guest_writes_is_no_traceback(answer: object) -> None:
    assert isinstance(facts(1, "a", interfaces=interfaces_of(answer)).addresses, tuple)


def test_vms_without_a_definition_are_hosts_by_tag_or_pool() -> None:
    vms = [
        facts(1, "tagged", tags=("Web",), interfaces=(card("eth0", "10.0.0.7/24"),)),
        facts(2, "pooled", pool="lab", status="stopped"),
        facts(3, "neither", tags=("db",), pool="other"),
        facts(4, "template", tags=("web",), template=True),
        facts(5, None, tags=("web",)),
    ]
    include = Include(frozenset({"web"}), frozenset({"lab"}))
    made = lay_over(inventory(a=""), match(inventory(a=""), vms, include))
    assert set(made.hosts) == {"a", "tagged", "pooled", "vm-5"}
    tagged = made.hosts["tagged"]
    assert set(tagged.groups) == {"unmanaged", "node_node02", "tag_Web", "power_running"}
    assert tagged.variables["ansible_host"] == "10.0.0.7"
    assert made.groups["pool_lab"].hosts == ("pooled",)
    assert made.groups["power_stopped"].hosts == ("pooled",)


MINE, THEIRS = ("stackyard",), ("web",)


@pytest.mark.parametrize(
    ("definition", "vms", "vmid"),
    [
        ("", [facts(101, "a"), facts(102, "a", tags=MINE)], 102),
        ("vmid: 101\n", [facts(101, "a"), facts(102, "a", tags=MINE)], 102),
        ("vmid: 101\n", [facts(101, "a", tags=MINE), facts(102, "a", tags=MINE)], 101),
        ("", [facts(101, "a", tags=THEIRS)], None),
        ("managed: false\n", [facts(101, "a")], 101),
        ("managed: false\nvmid: 102\n", [facts(101, "a"), facts(102, "a")], 102),
        ("", [facts(101, "a", tags=MINE, template=True)], None),
        ("template: true\n", [facts(101, "a", tags=MINE, template=True)], 101),
        ("template: true\n", [facts(101, "a", tags=MINE)], 101),
        (
            "template: true\nmanaged: false\n",
            [facts(101, "a"), facts(102, "a", template=True)],
            102,
        ),
        ("", [facts(101, "b", tags=MINE)], None),
    ],
)
def test_which_vm_is_a_definitions(definition: str, vms: list[Facts], vmid: int | None) -> None:
    found = match(inventory(a=definition), vms, ALL)
    assert {name: vm.vmid for name, vm in found.items()} == ({"a": vmid} if vmid else {})


def test_two_vms_of_one_definition_are_refused() -> None:
    with pytest.raises(InventoryError, match=r"called a \(1 on node02 and 2 on node02\)"):
        match(inventory(a=""), [facts(1, "a", tags=MINE), facts(2, "a", tags=MINE)], ALL)


@pytest.mark.parametrize(
    "vms",
    [
        [facts(1, "b", tags=THEIRS), facts(2, "b", tags=THEIRS)],
        [facts(1, "a", tags=MINE), facts(2, "a", tags=THEIRS)],
        [facts(2, "a", tags=THEIRS)],
    ],
)
def test_an_included_vm_is_never_taken_for_another(vms: list[Facts]) -> None:
    with pytest.raises(InventoryError, match="VM 2 on node02 would be the host"):
        match(inventory(a=""), vms, Include(frozenset({"web"})))


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_no_vm_of_somebody_else_takes_the_place_of_the_controller(name: str) -> None:
    """Whoever may rename a VM would get what plays do beside Ansible, secrets too."""
    with pytest.raises(InventoryError, match=f"VM 2 on node02 is called {name}, like the machine"):
        match(inventory(a=""), [facts(2, name, tags=THEIRS)], Include(frozenset({"web"})))
    match(inventory(a=""), [facts(2, name)], Include(frozenset({"web"})))  # no host at all


def test_a_host_named_like_a_group_is_refused() -> None:
    for name in ("power_running", "k3s", "all"):
        with pytest.raises(InventoryError, match=f"like the host {name}"):
            lay_over(inventory(k8s_x=""), {name: facts(1, name)})


def test_the_tag_is_the_plans() -> None:
    assert OURS == TAG


names = st.sampled_from(["a", "k8s-b", "haproxy", "c"])
addresses = st.one_of(st.ip_addresses().map(lambda ip: f"{ip}/24"), st.just("127.0.0.1/8"))
observed = st.builds(
    Facts,
    vmid=st.integers(100, 104),
    node=st.sampled_from(["node01", "node02"]),
    name=st.none() | names,
    status=st.sampled_from(["running", "stopped", "unknown"]),
    template=st.booleans(),
    tags=st.lists(st.sampled_from(["stackyard", "web"]), unique=True).map(tuple),
    lock=st.none() | st.just("backup"),
    pool=st.none() | st.just("lab"),
    interfaces=st.lists(
        st.builds(card, st.just("eth0"), addresses, addresses), max_size=2
    ).map(tuple),
)  # fmt: skip


@given(st.lists(observed, max_size=5, unique_by=lambda vm: vm.vmid))
def test_the_definitions_are_only_added_to(vms: list[Facts]) -> None:
    desired = inventory(a=STATIC, k8s_b=DHCP)
    try:
        made = lay_over(desired, match(desired, vms, Include(frozenset({"web"}))))
    except InventoryError:
        taken = [*desired.hosts, *(vm.host_name for vm in vms)]
        assert len(set(taken)) < len(taken)
        return
    for name, host in desired.hosts.items():
        assert host.variables.items() <= made.hosts[name].variables.items()
        assert set(host.groups) < set(made.hosts[name].groups)
    for name, group in made.groups.items():
        assert group.hosts == tuple(sorted(h.name for h in made.hosts.values() if name in h.groups))


@given(st.dictionaries(names, observed))
def test_facts_survive_the_cache(found: dict[str, Facts]) -> None:
    assert from_json(to_json(found)) == found


def test_facts_of_another_release_are_no_facts() -> None:
    kept = json.loads(to_json({"web": facts(101, "web")}))
    kept["form"].remove("pool")
    assert from_json(json.dumps(kept)) is None
    assert from_json(json.dumps(kept["hosts"])) is None  # as they were kept before they had a form
