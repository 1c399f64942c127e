"""Commit messages become plays and hosts, and nothing else."""

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackyard.definitions.load import parse_vm
from stackyard.definitions.model import Definition, Source
from stackyard.errors import StackyardError
from stackyard.inventory import Inventory, build_inventory
from stackyard.routing import (
    Route,
    RoutingError,
    configures,
    main_play,
    near_misses,
    route,
    tagged_names,
)

PLAYS = frozenset({"k3s", "haproxy", "site", "postgres", "backup"})


def vm(name: str, **values: Any) -> Definition:
    return Definition(
        name=name,
        target_node="node01",
        source=Source(f"vms/{name}.yaml", {"name": 1}),
        **values,
    )


FLEET = (
    vm("haproxy"),
    vm("haproxy-b", vm_state="stopped"),
    vm("k8s-home"),
    vm("k8s-observability"),
    vm("k8s-off", vm_state="stopped"),
    vm("k8s-prod-cp1"),
    vm("k8s-prod-w1"),
    vm("pihole", managed=False),
    vm("postgres"),
    vm("ubuntu24-template", template=True),
    vm("web"),
)
INVENTORY: Inventory = build_inventory(FLEET)


def routes(message: str, plays: frozenset[str] = PLAYS) -> tuple[Route, ...]:
    return route(tagged_names(message), FLEET, INVENTORY, plays)


def test_a_message_without_a_tag_asks_for_nothing() -> None:
    assert routes("feat(proxmox): add a VM\n\nansible k8s-home, [ansible], [ansiblek8s-home]") == ()


def test_a_k8s_vm_runs_k3s_for_it_and_then_haproxy_for_all_load_balancers() -> None:
    assert routes("feat(proxmox): add k8s-observability VM [ansible k8s-observability]") == (
        Route("k3s", hosts=("k8s-observability",)),
        Route("haproxy", follows=("haproxy",)),
    )


def test_several_tags_and_names_merge_into_one_run_of_each_play() -> None:
    message = """[ansible haproxy] and

    [ansible k8s-observability, k8s-home] [ansible k8s-home]
    [ansible\tbackup]"""
    assert routes(message) == (
        Route("k3s", hosts=("k8s-observability", "k8s-home")),
        Route("backup", whole=True),
        Route("haproxy", hosts=("haproxy",)),
    )


def test_a_vm_may_have_a_play_of_its_own_name() -> None:
    assert routes("[ansible postgres]") == (Route("postgres", hosts=("postgres",)),)


def test_a_play_that_is_no_vm_runs_on_its_own_hosts() -> None:
    assert routes("[ansible site]") == (Route("site", whole=True),)


def test_all_of_k3s_is_followed_by_haproxy() -> None:
    assert routes("[ansible k3s]") == (
        Route("k3s", whole=True),
        Route("haproxy", follows=("haproxy",)),
    )


def test_k8s_names_do_not_swallow_a_play_of_that_name() -> None:
    assert routes("[ansible k8s-upgrade]", PLAYS | {"k8s-upgrade"}) == (
        Route("k8s-upgrade", whole=True),
    )


def test_kubeadm_vms_run_kubeadm_and_workers_leave_the_load_balancer_alone() -> None:
    plays = PLAYS | {"kubeadm"}
    assert routes("[ansible k8s-prod-w1]", plays) == (Route("kubeadm", hosts=("k8s-prod-w1",)),)
    assert routes("[ansible k8s-prod-cp1]", plays) == (
        Route("kubeadm", hosts=("k8s-prod-cp1",)),
        Route("haproxy", follows=("haproxy",)),
    )


def test_without_a_haproxy_play_nothing_follows() -> None:
    assert routes("[ansible k8s-home]", frozenset({"k3s"})) == (Route("k3s", hosts=("k8s-home",)),)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("[ansible k8s-prod-cp1]", r"needs plays/kubeadm\.yml, which is not there"),
        ("[ansible k8s-observabilty]", "did you mean k8s-observability"),
        ("[ansible haprxy]", "did you mean haproxy"),
        ("[ansible web]", r"needs plays/web\.yml, .* none of the groups that have a play \(k3s, "),
        ("[ansible pihole]", r"managed: false.*vms/pihole\.yaml:1"),
        ("[ansible k8s-off]", "vm_state: stopped"),
        ("[ansible ubuntu24-template]", "it is a template"),
        ("[ansible ; rm -rf /]", "';', which is no name"),
        ("[ansible ../../etc/passwd]", "is no name"),
        ("[ansible plays/k3s.yml]", "is no name"),
        ("[ansible $(reboot)]", "is no name"),
        ("[ansible --extra-vars]", "is no name"),
        ("[ansible k8s-*]", "is no name"),
        ("[ansible all]", "names neither a VM"),
        ("[ansible \x1b[2Jx]", r"'\\x1b\[2Jx'"),
        ("[ansible   ]", "empty tag"),
        ("[ansible ,]", "empty tag"),
        ("[ansible " + "x/" * 500 + "]", r"\.\.\.' holds"),
        ("[ansible " + "x" * 64 + "]", "is no name"),
        ("[ansible " + "a." * 126 + "ab]", "is no name"),
        ("[ansible ..]", "is no name"),
        ("[ansible a..b]", "is no name"),
        ("[ansible .hidden]", "is no name"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(message: str, sentence: str) -> None:
    with pytest.raises(RoutingError, match=sentence) as caught:
        routes(message)
    text = str(caught.value)
    assert text.isprintable()
    assert "\n" not in text
    assert len(text) < 400


@pytest.mark.parametrize("name", ["db.company", "Web1", "a" * 63, "1a.B-2.c"])
def test_every_name_of_a_vm_may_be_tagged(name: str) -> None:
    machine = parse_vm(f"name: {name}\ntarget_node: n\n")
    inventory = build_inventory([machine])
    assert route(tagged_names(f"[ansible {name}]"), [machine], inventory, {name}) == (
        Route(name, hosts=(name,)),
    )


@pytest.mark.parametrize(
    "text",
    ["[Ansible k8s-shop]", "[ ansible k8s-shop ]", "[ansible: k8s-shop]", "[ansible:k8s-shop]"],
)
def test_what_looks_like_a_tag_and_is_none_is_told(text: str) -> None:
    message = f"feat: a shop {text} and [ansible k8s-home]"
    assert near_misses(message) == (repr(text),)
    assert tagged_names(message) == ("k8s-home",)


@pytest.mark.parametrize(
    "text",
    ["[ansible] fix a typo", "[ansible-lint 25] up", "[x ansible y]", "[Ansible Galaxy](here)"],
)
def test_other_brackets_are_no_tags_and_nobody_is_told(text: str) -> None:
    assert near_misses(text) == ()


def test_a_long_message_of_open_tags_takes_no_time() -> None:
    began = time.monotonic()
    assert tagged_names("[ansible k8s-a" * 20_000) == ()
    assert tagged_names("[ansible k8s-a]" + "[ansible k8s-b" * 20_000) == ("k8s-a",)
    with pytest.raises(RoutingError, match="is no name"):
        tagged_names("[ansible x[" * 20_000 + "]")
    for text in ("[Ansible k8s-b", "[ansible" + " " * 20, "[ ", " "):
        assert near_misses(text * 20_000) == ()
    assert time.monotonic() - began < 5  # and not minutes


def test_each_vm_has_one_play_that_makes_it_what_it_is() -> None:
    assert main_play("k8s-home", INVENTORY, PLAYS) == "k3s"
    assert main_play("haproxy-b", INVENTORY, PLAYS) == "haproxy"
    assert main_play("postgres", INVENTORY, PLAYS) == "postgres"
    assert main_play("web", INVENTORY, PLAYS) is None
    assert main_play("haproxy-b", INVENTORY, PLAYS | {"haproxy-b"}) == "haproxy-b"
    assert configures("site", "k8s-home", INVENTORY, PLAYS)
    assert not configures("backup", "k8s-home", INVENTORY, PLAYS)


names = st.sampled_from([*(v.name for v in FLEET), *PLAYS, "..", "/etc", "all", "*", "-i", ";", ""])
tags = st.lists(names | st.text(max_size=8), max_size=3).map(lambda n: f"[ansible {' '.join(n)}]")
messages = st.lists(tags | st.text(max_size=20), max_size=4).map("\n".join)


def attempt(message: str) -> tuple[Route, ...]:
    """Any message may be refused, with a sentence that a terminal can show."""
    try:
        return routes(message)
    except StackyardError as error:
        sentence = str(error)
    assert sentence.isprintable()
    return ()


@given(messages)
def test_no_message_leaves_the_plays_and_the_inventory(message: str) -> None:
    found = attempt(message)
    for one in found:
        assert one.play in PLAYS
        assert Path(one.file).parent == Path("plays")
        assert set(one.hosts) | set(one.follows) <= INVENTORY.hosts.keys()
        assert len({*one.hosts, *one.follows}) == len(one.hosts) + len(one.follows)
    assert len({one.play for one in found}) == len(found)
    order = [one.play for one in found]
    if "k3s" in order and "haproxy" in order:
        assert order.index("k3s") < order.index("haproxy")
    assert attempt(message) == found
