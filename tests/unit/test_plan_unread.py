"""Cloud-init data that a running guest has not read: its restart and its addresses are not lost."""

from dataclasses import replace
from typing import Any

import pytest
from plan_world import SITE, after, definition_of, observed_of

from stackyard.plan import Consent, Observed, Plan, make_plan, render_text
from stackyard.plan.drift import render_drift
from stackyard.plan.sharing import Shared, shared_addresses
from stackyard.plan.values import Configure, Reboot, Waiting

CARD = "virtio=BC:24:11:00:00:07,bridge=vmbr0"
THERE: dict[str, Any] = {"name": "old", "tags": "stackyard", "cpu": "host", "onboot": 1}
THERE |= {"memory": "1024", "net0": CARD, "ipconfig0": "ip=10.0.0.21/24"}
QUIET = "Nothing to do: 1 VM as wanted."


def world(**config: Any) -> Observed:
    vm = {"vmid": 101, "node": "node01", "name": "old", "status": "running"}
    return observed_of({"nodes": {"node01": True}, "vms": [{**vm, "config": {**THERE, **config}}]})


def wanted(ip: str = "10.0.0.99/24", **keys: Any) -> dict[str, Any]:
    address = {"ip6" if ":" in ip else "ip": ip}
    held = {"target_node": "node01", "automatic_reboot": False, "networks": [{"bridge": "vmbr0"}]}
    return {"name": "old", **held, "ipconfigs": [address], **keys}


NEW = {"name": "new", "target_node": "node01", "ipconfigs": [{"ip": "10.0.0.21/24"}]}


def planned(observed: Observed, *plain: dict[str, Any]) -> Plan:
    return make_plan([definition_of(one) for one in plain], observed, SITE)


def applied(observed: Observed, *plain: dict[str, Any]) -> Observed:
    return after(planned(observed, *plain), observed)


def shared(observed: Observed, *plain: dict[str, Any]) -> Shared:
    fleet = [definition_of(one) for one in plain]
    return shared_addresses(make_plan(fleet, observed, SITE), fleet, observed)


def tags(observed: Observed) -> tuple[str, ...]:
    return next(vm.tags for vm in observed.vms if vm.name == "old")


def restarted(observed: Observed, status: Any = "running") -> Observed:
    """By hand: Proxmox has written down what was pending."""
    (vm,) = observed.vms
    assert vm.config is not None
    config = replace(vm.config, pending=frozenset())
    return replace(observed, vms=(replace(vm, status=status, config=config),))


def test_a_restart_that_is_left_to_the_user_is_told_until_it_has_happened() -> None:
    held = applied(world(), wanted(nameserver="10.0.0.3"))
    plan = planned(held, wanted(nameserver="10.0.0.3"))
    assert (plan.waves, plan.waiting) == ((), (Waiting("old", ()),))
    assert "changes wait for a restart" in render_text(plan)
    assert "old  cloud-init data is unread: automatic_reboot: false" in render_drift(plan)

    then = restarted(held)
    assert render_text(planned(then, wanted(nameserver="10.0.0.3"))).splitlines() == [
        "~ old  a tag of ours removed",
        "Plan: 1 to change, 0 as wanted.",
    ]
    last = applied(then, wanted(nameserver="10.0.0.3"))
    assert render_text(planned(last, wanted(nameserver="10.0.0.3"))) == QUIET
    assert tags(last) == ("stackyard",)


def test_data_without_an_address_leaves_nothing_behind() -> None:
    keys = wanted("10.0.0.21/24", nameserver="10.0.0.3")
    held = applied(world(), keys)
    assert tags(held) == ("stackyard",)
    assert planned(held, keys).waiting == (Waiting("old", ()),)
    assert render_text(planned(restarted(held), keys)) == QUIET


def test_a_second_change_waits_as_the_first_did_although_the_mark_is_there_already() -> None:
    held = applied(restarted(applied(world(), wanted())), wanted(nameserver="10.0.0.3"))
    assert planned(held, wanted(nameserver="10.0.0.3")).waiting == (Waiting("old", ()),)
    again = applied(restarted(held), wanted(nameserver="10.0.0.4"))
    assert planned(again, wanted(nameserver="10.0.0.4")).waiting == (Waiting("old", ()),)


def test_who_allows_the_restart_later_gets_it() -> None:
    held = applied(world(), wanted())
    (action,) = planned(held, wanted(automatic_reboot=True)).actions
    assert isinstance(action.steps[0], Reboot)
    then = applied(held, wanted(automatic_reboot=True))
    assert render_text(planned(then, wanted(automatic_reboot=True))) == QUIET
    assert tags(then) == ("stackyard",)


def test_a_vm_that_is_found_stopped_reads_its_data_when_it_starts() -> None:
    then = applied(restarted(applied(world(), wanted()), "stopped"), wanted(vm_state="running"))
    assert tags(then) == ("stackyard",)
    assert render_text(planned(then, wanted(vm_state="running"))) == QUIET


def test_the_old_address_is_taken_until_then() -> None:
    held = applied(world(), wanted())
    (problem,) = shared(held, wanted(), NEW).problems
    assert problem == (
        "vms/new.yaml:1: new is to have 10.0.0.21, which old (VM 101 on node01, running) has: "
        "it keeps that until it restarts: restart old first"
    )
    assert shared(restarted(held), wanted(), NEW) == Shared()
    assert shared(restarted(held, "stopped"), wanted(), NEW) == Shared()


def test_the_old_address_is_free_once_the_plan_restarts_or_removes_its_vm() -> None:
    held = applied(world(), wanted())
    fleet = (wanted(automatic_reboot=True), NEW)
    assert shared(held, *fleet) == Shared()
    waves = planned(held, *fleet).waves
    assert [[action.name for action in wave] for wave in waves] == [["old"], ["new"]]
    pruned = make_plan([definition_of(NEW)], held, SITE, consent=Consent(prune=True))
    assert [[action.name for action in wave] for wave in pruned.waves] == [["old"], ["new"]]


def test_the_old_address_is_taken_too_where_the_reboot_was_broken_off() -> None:
    fleet = (wanted(automatic_reboot=True), NEW)
    written = after(planned(world(), fleet[0]), world(), 1)
    assert tags(written) == ("stackyard", "stackyard-keeps-10.0.0.21", "stackyard-restart")
    assert [[a.name for a in wave] for wave in planned(written, *fleet).waves] == [["old"], ["new"]]
    assert len(shared(written, wanted(), NEW).problems) == 1  # nobody may reboot it any more
    assert tags(applied(world(), fleet[0])) == ("stackyard",)


def test_all_addresses_that_were_given_up_meanwhile_are_kept() -> None:
    twice = applied(applied(world(), wanted()), wanted("10.0.0.50/24"))
    assert tags(twice) == (
        "stackyard",
        "stackyard-keeps-10.0.0.21",
        "stackyard-keeps-10.0.0.99",
    )
    back = applied(twice, wanted("10.0.0.21/24"))  # it is in the configuration again
    assert tags(back) == ("stackyard", "stackyard-keeps-10.0.0.50", "stackyard-keeps-10.0.0.99")


def test_an_address_of_ipv6_is_kept_too() -> None:
    held = applied(world(ipconfig0="ip6=fd00::15/64"), wanted("fd00::16/64"))
    assert tags(held) == ("stackyard", "stackyard-keeps-fd00__15")
    assert held.vms[0].kept_addresses == {"fd00::15"}


def test_a_mark_that_would_mean_something_is_a_tag_instead() -> None:
    held = applied(world(freeze=1), wanted())
    assert tags(held) == ("stackyard", "stackyard-keeps-10.0.0.21", "stackyard-restart")
    assert planned(held, wanted()).waiting == (Waiting("old", ()),)
    then = applied(restarted(held, "stopped"), wanted())
    assert tags(then) == ("stackyard",)


@pytest.mark.parametrize("automatic", [True, False])
def test_the_mark_is_written_only_where_the_restart_is_left_to_the_user(automatic: bool) -> None:
    (action,) = planned(world(), wanted(automatic_reboot=automatic)).actions
    first = next(step for step in action.steps if isinstance(step, Configure))
    assert ("freeze" in {change.key for change in first.changes}) != automatic
    assert "freeze" not in render_text(planned(world(), wanted(automatic_reboot=automatic)))
