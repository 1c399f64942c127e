"""Pools of addresses: no address is given twice, and older tools' documents are understood."""

import datetime as dt
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netaddr import IPAddress

from stackyard.addresses import (
    Allocations,
    PoolError,
    PoolExhaustedError,
    allocate,
    capacity,
    dump,
    held,
    parse,
    reap,
    release,
)
from stackyard.definitions.load import DefinitionsError
from stackyard.fleet import Pool, load_fleet, load_site

NOW = dt.datetime(2026, 11, 24, 10, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
POOL = Pool("ephemeral", IPAddress("192.168.1.140"), IPAddress("192.168.1.149"), 2)


def of(document: dict[str, object]) -> Allocations:
    return parse(json.dumps(document, ensure_ascii=False))


def flat(allocations: Allocations) -> dict[str, object]:
    found: dict[str, object] = json.loads(dump(allocations))
    return found


def test_a_cluster_gets_two_addresses_and_keeps_them() -> None:
    first, block = allocate(parse(None), POOL, "pr-1", NOW)
    assert [str(ip) for ip in block.addresses] == ["192.168.1.140", "192.168.1.141"]
    assert flat(first) == {"192.168.1.140": "pr-1", "192.168.1.141": "pr-1"}
    assert allocate(first, POOL, "pr-1", NOW) == (first, block)
    second, other = allocate(first, POOL, "pr-2", NOW)
    assert str(other.vip) == "192.168.1.142"
    assert capacity(second, POOL) == (5, 3)
    back, freed = release(second, POOL, "pr-1")
    assert [str(ip) for ip in freed] == ["192.168.1.140", "192.168.1.141"]
    assert str(allocate(back, POOL, "pr-3", NOW)[1].vip) == "192.168.1.140"
    assert release(back, POOL, "pr-1") == (back, ())


def test_the_older_tools_documents() -> None:
    # An empty secret of theirs, one that knew VIPs alone, one with a block's second address taken.
    assert flat(allocate(of({"_empty": "true"}), POOL, "a", NOW)[0]).keys() == {
        "192.168.1.140",
        "192.168.1.141",
    }
    completed, block = allocate(of({"192.168.1.142": "a"}), POOL, "a", NOW)
    assert str(block.vip) == "192.168.1.142"
    assert flat(completed) == {"192.168.1.142": "a", "192.168.1.143": "a"}
    assert str(allocate(of({"192.168.1.141": "b"}), POOL, "a", NOW)[1].vip) == "192.168.1.142"
    # b's only address is nobody's VIP: b gets a block of its own and never a's.
    shared = of({"192.168.1.140": "a", "192.168.1.141": "b"})
    assert str(allocate(shared, POOL, "b", NOW)[1].vip) == "192.168.1.142"
    with pytest.raises(PoolError, match=r"192\.168\.1\.141 of the same block belongs to b"):
        allocate(shared, POOL, "a", NOW)
    # Other tools' keys and addresses of other pools stay.
    kept = of({"10.0.0.1": "x", "_note": "y 😀"})
    assert flat(release(allocate(kept, POOL, "a", NOW)[0], POOL, "a")[0]) == flat(kept)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "x: not a mapping of addresses to clusters"),
        ("[]", "x: not a mapping of addresses to clusters"),
        ("a: [", "x, line 2: not valid YAML"),
        ("192.168.1.14o: a", "x: the key '192.168.1.14o' is no address"),
        ("192.168.1.140: 1", "x: 192.168.1.140 belongs to something that is no name"),
        ("192.168.1.140: a\n192.168.1.140: b", "x, line 2: the key 192.168.1.140 stands here"),
        ("{'fd00::1': a, 'FD00:0::1': b}", "x: fd00::1 stands there twice, written in two ways"),
        ("_leases: '{'", "x: _leases is not what stackyard wrote there"),
        ("_leases: '[1]'", "x: _leases is not what stackyard wrote there"),
        (f"_leases: '{'[' * 100_000}'", "x: _leases is not what stackyard wrote there"),
    ],
)
def test_a_document_that_makes_no_sense_is_never_an_empty_one(text: str, says: str) -> None:
    with pytest.raises(PoolError) as caught:
        parse(text, "x")
    assert str(caught.value).startswith(says)


def test_a_key_of_another_tool_stays_also_where_it_is_a_date() -> None:
    text = "_checked: 2026-11-27\n_at: 2026-11-27T12:00:00Z\n_note: [1, {a: null}]\n"
    owned, block = allocate(parse(text), POOL, "a", NOW)
    assert flat(owned) == {
        **dict.fromkeys(map(str, block.addresses), "a"),
        "_checked": "2026-11-27",
        "_at": "2026-11-27T12:00:00+00:00",
        "_note": [1, {"a": None}],
    }


def test_an_exhausted_pool_says_so_with_a_code_of_its_own() -> None:
    full = parse(None)
    for number in range(5):
        full, _ = allocate(full, POOL, f"pr-{number}", NOW)
    with pytest.raises(PoolExhaustedError) as caught:
        allocate(full, POOL, "pr-5", NOW)
    assert caught.value.exit_code == 3
    assert str(caught.value) == (
        "pool exhausted: all 5 blocks of ephemeral (192.168.1.140 to 192.168.1.149) are taken"
    )
    assert allocate(full, POOL, "pr-4", NOW)[0] == full
    with pytest.raises(PoolError, match="is no cluster's name"):
        allocate(full, POOL, "a b", NOW)


def test_leases_end_and_can_be_renewed() -> None:
    first, _ = allocate(parse(None), POOL, "short", NOW, HOUR)
    both, _ = allocate(first, POOL, "ever", NOW)
    both = parse(dump(both))
    assert [block.expires for block in held(both, POOL)] == [NOW + HOUR, None]
    assert reap(both, POOL, NOW) == (both, ())
    renewed, block = allocate(both, POOL, "short", NOW + HOUR / 2, HOUR)
    assert block.expires == NOW + HOUR * 1.5
    assert allocate(renewed, POOL, "short", NOW)[0] == renewed
    assert reap(renewed, POOL, NOW + HOUR)[1] == ()
    left, over = reap(renewed, POOL, NOW + HOUR * 1.5)
    assert [block.cluster for block in over] == ["short"]
    assert flat(left) == {"192.168.1.142": "ever", "192.168.1.143": "ever"}


def test_who_asks_again_after_the_time_is_over_keeps_the_block() -> None:
    first, vip = allocate(parse(None), POOL, "a", NOW, HOUR)
    again, block = allocate(first, POOL, "a", NOW + HOUR * 2)
    assert (block.vip, block.expires) == (vip.vip, None)
    assert reap(again, POOL, NOW + HOUR * 9) == (again, ())
    renewed, block = allocate(first, POOL, "a", NOW + HOUR * 2, HOUR)
    assert block.expires == NOW + HOUR * 3
    assert reap(renewed, POOL, NOW + HOUR * 2)[1] == ()


def test_a_lease_ends_with_its_allocation_even_when_an_older_tool_ended_it() -> None:
    document = flat(allocate(parse(None), POOL, "a", NOW, HOUR)[0])
    lease = document["_leases"]
    # That tool puts each key on a command line without quotes.
    assert isinstance(lease, str)
    assert len(lease.split()) == 1
    document |= {"192.168.1.140": "b", "192.168.1.141": "b"}
    assert reap(of(document), POOL, NOW + HOUR * 9)[1] == ()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["allocate", "renew", "release", "reap"]), st.sampled_from("abcdefg")
    ),
    max_size=30,
)


@given(STEPS)
def test_no_address_is_ever_given_twice(steps: list[tuple[str, str]]) -> None:
    allocations, now = parse(None), NOW
    holders: dict[str, str] = {}
    for step, cluster in steps:
        now += HOUR / 3
        if step == "release":
            allocations, _ = release(allocations, POOL, cluster)
            holders.pop(cluster, None)
        elif step == "reap":
            allocations, over = reap(allocations, POOL, now)
            for block in over:
                del holders[block.cluster]
        else:
            ttl = HOUR if step == "renew" else None
            try:
                allocations, block = allocate(allocations, POOL, cluster, now, ttl)
            except PoolExhaustedError:
                assert len(holders) == 5
                assert cluster not in holders
                continue
            assert holders.setdefault(cluster, str(block.vip)) == str(block.vip)
        assert parse(dump(allocations)) == allocations
        assert len(set(holders.values())) == len(holders)
        assert capacity(allocations, POOL) == (5, 5 - len(holders))
        assert {block.cluster: str(block.vip) for block in held(allocations, POOL)} == holders


def test_a_pool_of_any_size() -> None:
    large = Pool("six", IPAddress("2001:db8::"), IPAddress("2001:db8:0:1::"), 16)
    taken, _ = allocate(parse(None), large, "a", NOW)
    _, block = allocate(taken, large, "b", NOW)
    assert (str(block.vip), len(block.addresses)) == ("2001:db8::10", 16)
    odd = Pool("odd", IPAddress("10.0.0.1"), IPAddress("10.0.0.5"), 2)
    assert odd.capacity == 2
    assert odd.index(IPAddress("10.0.0.5")) is None
    assert odd.index(IPAddress("2001:db8::1")) is None


@pytest.mark.parametrize(
    ("pools", "says"),
    [
        ("{a: {first: 10.0.0.1}}", ["last is missing of pool a", "pool a needs first and last"]),
        ("{a: {first: x, last: 10.0.0.1}}", ["pool a needs first and last as addresses"]),
        ("{a: {first: 10.0.0.9, last: 10.0.0.1}}", ["no block of 1 from 10.0.0.9 to 10.0.0.1"]),
        ("{a: {first: 10.0.0.1, last: '::1'}}", ["no block of 1 from 10.0.0.1 to ::1"]),
        (
            "{a: {first: 10.0.0.1, last: 10.0.0.4, block: 5}}",
            ["pool a has no block of 5 from 10.0.0.1 to 10.0.0.4"],
        ),
        (
            "{a: {first: 10.0.0.1, last: 10.0.0.4}, b: {first: 10.0.0.4, last: 10.0.0.9}}",
            ["the pools a and b overlap"],
        ),
        (
            "{a: {first: 10.0.0.1, last: 10.0.0.4, store: pool.json}}",
            ["store of pool a must be a store as vault:MOUNT/PATH or file:PATH, not 'pool.json'"],
        ),
        ("{a: {first: 10.0.0.1, last: 10.0.0.4, ttl: 9999999d}}", ["ttl of pool a is more than"]),
        (
            "{a: {first: 10.0.0.1, last: 10.0.0.4, ttl: soon, blok: 1}}",
            ["unknown key 'blok' of pool a, did you mean block?", "must be a time as 45m, 24h"],
        ),
    ],
)
def test_mistakes_in_the_site(tmp_path: Path, pools: str, says: list[str]) -> None:
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "site.yml").write_text(f"nodes: {{}}\npools: {pools}\n")
    with pytest.raises(DefinitionsError) as caught:
        load_site(tmp_path)
    lines = sorted(str(caught.value).splitlines())
    assert len(lines) == len(says), lines
    for sentence in says:
        assert any("site.yml:2: " in line and sentence in line for line in lines), lines


def test_a_pool_is_in_a_network_and_no_vm_is_in_a_pool(tmp_path: Path) -> None:
    for folder in ("inventory", "vms"):
        (tmp_path / folder).mkdir()
    file = tmp_path / "inventory" / "site.yml"
    networks = "networks: {lan: {cidr: 10.0.0.0/24, ranges: {metal: 10.0.0.60-10.0.0.69}}}\n"
    file.write_text(networks + "pools:\n  a: {first: 10.0.0.250, last: 10.0.1.9}\n")
    with pytest.raises(DefinitionsError, match=r"pool a, 10\.0\.0\.250-10\.0\.1\.9, is in no"):
        load_site(tmp_path)
    file.write_text(networks + "pools:\n  a: {first: 10.0.0.69, last: 10.0.0.80}\n")
    vm = tmp_path / "vms" / "x.yaml"
    vm.write_text("name: x\ntarget_node: n\nipconfig0: ip=10.0.0.70/24\n")
    with pytest.raises(DefinitionsError) as caught:
        load_fleet(tmp_path)
    vm_problem, pool_problem = sorted(str(caught.value).splitlines(), reverse=True)
    assert f"10.0.0.70 of VM x is in 10.0.0.69-10.0.0.80 of pool a ({file}:3)" in vm_problem
    assert "10.0.0.69-10.0.0.80 of pool a is in 10.0.0.60-10.0.0.69 of range metal" in pool_problem


def test_a_pool_of_the_site(tmp_path: Path) -> None:
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "site.yml").write_text(
        "pools: {a: {first: 10.0.0.1, last: 10.0.0.4, ttl: 90m, store: 'file:x'}}\n"
    )
    pool = load_site(tmp_path).pools["a"]
    assert (pool.capacity, pool.ttl, pool.store) == (4, dt.timedelta(minutes=90), "file:x")
