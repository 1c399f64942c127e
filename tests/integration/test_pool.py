"""`stackyard pool` on a real Vault API: an address is never given to two clusters."""

import datetime as dt
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from fault_proxy import Certificate, Fault, fault_proxy
from in_process import run_here
from sops_files import make_sops
from vault_lab import Vault

from stackyard.addresses import allocate, capacity
from stackyard.fleet import load_site
from stackyard.stores.pools import change_allocations, open_allocations, read_allocations

SITE = """\
pools:
  twenty: {first: 10.9.0.1, last: 10.9.0.40, block: 2, store: "vault:kv/pools/twenty"}
  old: {first: 192.168.1.140, last: 192.168.1.149, block: 2}
"""
OLD = "kv/data/ephemeral-clusters/ip-allocations"
# However slow the machine is that all of them share.
PATIENT = {"STACKYARD_STORE_DEADLINE": "120"}
# The real command in real processes, which start at the same moment. What they import has been
# imported before: this is no test of how fast a hundred Pythons start.
AT_ONCE = """\
import contextlib, os, sys
from stackyard.cli.main import main
sys.argv = ['stackyard', 'pool', 'list', '--pool', 'twenty']
with contextlib.suppress(SystemExit):
    main()
gate, start = os.pipe()
children = []
for number in range(100):
    child = os.fork()
    if child == 0:
        os.close(start)
        for stream, name in ((1, 'out'), (2, 'err')):
            os.dup2(os.open(f'{number}.{name}', os.O_CREAT | os.O_WRONLY), stream)
        os.read(gate, 1)
        sys.argv = ['stackyard', 'pool', 'allocate', f'pr-{number}', '--pool', 'twenty']
        try:
            main()
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code)
        os._exit(99)
    children.append(child)
os.close(start)
print(*[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with two pools."""
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "site.yml").write_text(SITE)
    return tmp_path


def run(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `stackyard pool …` in a folder."""
    return run_here(folder, "pool", *arguments, environ=environ)


def pool(vault: Vault, site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `stackyard pool …` in the site, with Vault's environment."""
    return run(site, *arguments, **(vault.environ | PATIENT))


def test_a_hundred_processes_and_a_pool_of_twenty(vault: Vault, site: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE],
        cwd=site,
        env=os.environ | vault.environ | PATIENT,
        capture_output=True,
        text=True,
        check=True,
    )
    codes = [int(code) for code in done.stdout.split()]
    printed = [(site / f"{number}.out").read_text() for number in range(100)]
    said = [(site / f"{number}.err").read_text() for number in range(100)]
    assert sorted(codes) == [0] * 20 + [3] * 80, set(said)
    vips = {text.strip(): n for n, text in enumerate(printed) if codes[n] == 0}
    assert set(vips) == {f"10.9.0.{1 + 2 * n}" for n in range(20)}
    for number in range(100):
        if codes[number] == 3:
            assert printed[number] == ""
            assert said[number].startswith("error: pool exhausted: all 20 blocks of twenty")
    stored = vault.secret("pools/twenty")
    assert {ip: stored[ip] for ip in vips} == {ip: f"pr-{n}" for ip, n in vips.items()}
    assert len(stored) == 40


def test_beside_the_older_tool(vault: Vault, site: Path) -> None:
    vault.call("POST", OLD, {"data": {"_empty": "true"}})
    first = pool(vault, site, "allocate", "pr-1", "--pool", "old")
    assert (first.returncode, first.stdout) == (0, "192.168.1.140\n")
    assert first.stderr == "pr-1: 192.168.1.140 and 192.168.1.141, allocated\n"
    again = pool(vault, site, "allocate", "pr-1", "--pool", "old")
    assert (again.stdout, again.stderr) == (
        "192.168.1.140\n",
        "pr-1: 192.168.1.140 and 192.168.1.141, as it was\n",
    )
    assert vault.secret("ephemeral-clusters/ip-allocations") == {
        "192.168.1.140": "pr-1",
        "192.168.1.141": "pr-1",
    }
    assert vault.call("GET", OLD)["data"]["metadata"]["version"] == 2
    theirs = {"192.168.1.142": "pr-2", "192.168.1.143": "pr-2"}
    mine = vault.secret("ephemeral-clusters/ip-allocations")
    vault.call("POST", OLD, {"data": mine | theirs})
    leased = pool(vault, site, "allocate", "pr-3", "--pool", "old", "--ttl", "1s", "--json")
    assert json.loads(leased.stdout)["vip"] == "192.168.1.144"
    stored = vault.secret("ephemeral-clusters/ip-allocations")
    assert all(isinstance(value, str) and " " not in value for value in stored.values())
    rows = pool(vault, site, "list", "--pool", "old").stdout.splitlines()
    assert [row.split("\t")[:2] for row in rows] == [
        ["192.168.1.140", "pr-1"],
        ["192.168.1.142", "pr-2"],
        ["192.168.1.144", "pr-3"],
    ]
    reaped: list[str] = []
    while not reaped:
        reaped = pool(vault, site, "reap", "--pool", "old").stdout.splitlines()
    assert [row.split("\t")[1] for row in reaped] == ["pr-3"]
    for name in ("pr-1", "pr-2"):
        released = pool(vault, site, "release", name, "--pool", "old")
        assert (released.stdout, released.stderr) == ("", f"{name}: released\n")
    assert vault.secret("ephemeral-clusters/ip-allocations") == {}
    free = pool(vault, site, "capacity", "--pool", "old", "--json")
    assert json.loads(free.stdout) == {"pool": "old", "total": 5, "used": 0, "free": 5}


@pytest.mark.parametrize("kind", ["file", "sops"])
def test_other_stores(site: Path, kind: str) -> None:
    sops = make_sops(site / "files")
    store = open_allocations(f"{kind}:{sops.folder}/pool.yaml", sops.environ)
    given = load_site(site).pools["old"]
    now = dt.datetime.now(dt.UTC)
    for vip, changed in (("192.168.1.140", True), ("192.168.1.140", False)):
        block, written = change_allocations(store, lambda was: allocate(was, given, "a", now))
        assert (str(block.vip), written) == (vip, changed)
    assert capacity(read_allocations(store), given) == (5, 4)


def test_a_key_of_a_secret_that_has_others(vault: Vault, site: Path) -> None:
    vault.call("POST", "kv/data/pools/shared", {"data": {"OTHER": "x"}})
    store = open_allocations("vault:kv/pools/shared#POOL", vault.environ)
    given, now = load_site(site).pools["old"], dt.datetime.now(dt.UTC)
    change_allocations(store, lambda was: allocate(was, given, "a", now))
    assert vault.secret("pools/shared").keys() == {"OTHER", "POOL"}
    assert capacity(read_allocations(store), given) == (5, 4)


@pytest.mark.parametrize("status", [0, 500])
def test_a_lost_answer_gives_one_block(
    vault: Vault, site: Path, lab_certificate: Certificate, status: int
) -> None:
    path = f"pools/lost-{status}"
    given = load_site(site).pools["old"]
    now = dt.datetime.now(dt.UTC)
    behind = vault.environ["VAULT_ADDR"], vault.environ["VAULT_CACERT"]
    with fault_proxy(*behind, lab_certificate) as proxy:
        change = {"VAULT_ADDR": proxy.url, "VAULT_CACERT": str(lab_certificate[0])} | PATIENT
        store = open_allocations(f"vault:kv/{path}", vault.environ | change)
        # The first write takes effect although nobody hears of it, the second one's does not.
        for name, vip, fault in (
            ("a", "192.168.1.140", Fault(status, forwarded=True)),
            ("b", "192.168.1.142", Fault(status)),
        ):
            proxy.writes.append(fault)
            decide = partial(allocate, pool=given, cluster=name, now=now)
            block, changed = change_allocations(store, decide)
            assert (str(block.vip), changed) == (vip, True)
    assert (len(vault.secret(path)), vault.version(path)) == (4, 2)


def test_a_vault_that_cannot_be_read_is_no_empty_pool(vault: Vault, site: Path) -> None:
    pool(vault, site, "allocate", "pr-1", "--pool", "old")
    before = vault.call("GET", OLD)["data"]["metadata"]["version"]
    nobody = {"VAULT_ADDR": "https://127.0.0.1:1", "STACKYARD_STORE_DEADLINE": "0.1"}
    for change, code in (({"VAULT_TOKEN": "hvs.wrong"}, 1), (nobody, 4)):
        done = run(site, "allocate", "x", "--pool", "old", **(vault.environ | change))
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.startswith("error: Vault https://")
        assert len(done.stderr.splitlines()) == 1
    assert vault.call("GET", OLD)["data"]["metadata"]["version"] == before


def test_a_pool_has_one_place_wherever_it_is_called(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "inventory").mkdir(parents=True)
    pools = "pools: {a: {first: 10.0.0.1, last: 10.0.0.9, store: 'file:state/pool.json'}}\n"
    (site / "inventory" / "site.yml").write_text(pools)
    given = []
    for number, (folder, where) in enumerate(((site, "."), (tmp_path, "site"))):
        given.append(run(folder, "allocate", f"pr-{number}", "--site", where).stdout)
    assert given == ["10.0.0.1\n", "10.0.0.2\n"]
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


@pytest.mark.parametrize("networks", ["", "networks: {lan: {cidr: 10.0.0.0/24}}\n"])
def test_what_a_vm_has_is_never_given_away(tmp_path: Path, networks: str) -> None:
    for folder in ("inventory", "vms"):
        (tmp_path / folder).mkdir()
    store = tmp_path / "pool.json"
    (tmp_path / "inventory" / "site.yml").write_text(
        f"{networks}pools: {{a: {{first: 10.0.0.1, last: 10.0.0.9, store: 'file:{store}'}}}}\n"
    )
    store.write_text('{"10.0.0.3": "pr-1"}')
    (tmp_path / "vms" / "x.yaml").write_text("name: x\nipconfig0: ip=10.0.0.1/24\n")
    done = run(tmp_path, "allocate", "pr-2")
    assert (done.returncode, done.stdout) == (1, "")
    assert "x.yaml:2: 10.0.0.1 of VM x is in 10.0.0.1-10.0.0.9 of pool a" in done.stderr
    # Giving back must always be possible.
    assert run(tmp_path, "release", "pr-1").returncode == 0
    assert json.loads(store.read_text()) == {}


def test_a_site_without_pools(vault: Vault, tmp_path: Path) -> None:
    done = pool(vault, tmp_path, "list")
    assert (done.returncode, done.stderr) == (1, "error: inventory/site.yml has no pools\n")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["allocate", "x"], 1, "which pool? Give --pool; inventory/site.yml has twenty, old"),
        (["allocate", "x", "--pool", "y"], 1, "there is no pool y"),
        (["allocate", "x", "--pool", ""], 1, "there is no pool : inventory/site.yml has twenty"),
        (["allocate", "a b", "--pool", "old"], 1, "'a b' is no cluster's name"),
        (["allocate", "x", "--pool", "old", "--ttl", "1w"], 64, "'1w' is no time as 45m, 24h"),
        (["list", "--pool", "old", "--store", "sqlite:x"], 1, "sqlite:x is no store"),
    ],
)
def test_what_is_asked_wrongly(
    vault: Vault, site: Path, arguments: list[str], code: int, says: str
) -> None:
    done = pool(vault, site, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
