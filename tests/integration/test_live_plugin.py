"""`verify: proxmox` in an inventory source, as ansible-inventory sees it."""

import json
import os
import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_venv import ROOT
from proxmox_lab import ProxmoxEndpoint, StartEndpoint
from test_live import VMS, Leasing, started, vm

SCRIPTS = Path(sysconfig.get_path("scripts"))
LIVE = "plugin: vms\nverify: proxmox\n"
READ_ONLY = "root@pam!readonly"  # a token without permissions
DOWN = {
    "PROXMOX_URL": "https://127.0.0.1:1",
    "PROXMOX_USER": "root@pam",
    "PROXMOX_PASSWORD": "made-up-password",
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "vms").mkdir()
    (tmp_path / "inventory").mkdir()
    define(tmp_path, "leased")
    define(tmp_path, "stopped")
    return tmp_path


def define(site: Path, name: str, more: str = "agent: 1\n") -> None:
    text = f"name: {name}\ntarget_node: node01\nipconfig0: ip=dhcp\n{more}"
    (site / "vms" / f"{name}.yaml").write_text(text)


def run(site: Path, source: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    path = site / "inventory" / "vms.yml"
    path.write_text(source)
    inherited = {key: value for key, value in os.environ.items() if "PROXMOX" not in key}
    done = subprocess.run(
        [str(SCRIPTS / "ansible-inventory"), "--list", "-i", str(path)],
        cwd=ROOT,
        env={**inherited, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "made-up-password" not in done.stdout + done.stderr
    return done


def listed(site: Path, source: str, lab: ProxmoxEndpoint) -> Any:
    lab.forget_requests()
    done = run(site, source, lab.environ)
    assert done.returncode == 0, done.stderr
    assert "[WARNING]" not in done.stderr
    return json.loads(done.stdout)


def refused(site: Path, source: str, environ: Mapping[str, str]) -> str:
    done = run(site, source, environ)
    assert done.returncode != 0
    return " ".join(done.stderr.split())


def test_what_runs_and_where(site: Path, proxmox_endpoint: StartEndpoint) -> None:
    lab = started(proxmox_endpoint)
    source = LIVE + "include_tags: [Web]\nkeyed_groups: [{key: proxmox_node, prefix: at}]\n"
    data = listed(site, source, lab)
    hosts = data["_meta"]["hostvars"]
    assert set(hosts) == {"leased", "stopped", "other"}
    assert hosts["leased"]["ansible_host"] == "10.9.0.101"
    assert data["power_running"]["hosts"] == ["leased", "other"]
    assert data["power_stopped"]["hosts"] == ["stopped"]
    assert data["unmanaged"]["hosts"] == ["other"]
    assert data["at_node03"]["hosts"] == ["other"]


def kept(site: Path) -> str:
    return LIVE + f"cache: true\ncache_plugin: jsonfile\ncache_connection: {site / 'cache'}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("agent: 1\n", "agent: 0\n"),
        ("", "managed: false\n"),
        ("", "vmid: 101\n"),
        ("", "template: true\n"),
    ],
)
def test_what_a_definition_asks_is_part_of_the_question(
    before: str, after: str, site: Path, proxmox_endpoint: StartEndpoint
) -> None:
    lab, source = started(proxmox_endpoint), kept(site)
    define(site, "leased", before)
    listed(site, source, lab)
    define(site, "leased", after)
    cached = listed(site, source, lab)
    assert lab.requests()
    assert cached == listed(site, LIVE, lab)


def test_half_an_answer_is_not_kept(site: Path, proxmox_endpoint: StartEndpoint) -> None:
    lab, source = started(proxmox_endpoint), kept(site)
    lab.endpoint.take_down("node02")
    done = run(site, source, lab.environ)
    assert "node02 does not answer" in " ".join(done.stderr.split())
    assert json.loads(done.stdout)["power_unknown"]["hosts"] == ["stopped"]
    lab.endpoint.bring_up("node02")
    assert listed(site, source, lab)["power_stopped"]["hosts"] == ["stopped"]


def test_hosts_that_a_silent_node_takes_away_are_an_error_where_it_is_strict(
    site: Path, proxmox_endpoint: StartEndpoint
) -> None:
    lab = proxmox_endpoint({"vms": VMS, "timing": {"statd": 3600}}, machines=Leasing())
    lab.endpoint.cluster.seen = {}  # some minutes later
    lab.endpoint.take_down("node03")
    source = LIVE + "include_tags: [web]\n"
    done = run(site, source, lab.environ)
    assert "include_pools name, 1 are left out" in " ".join(done.stderr.split())
    assert set(json.loads(done.stdout)["_meta"]["hostvars"]) == {"leased", "stopped"}
    assert "1 are left out" in refused(site, source + "strict: true\n", lab.environ)
    # Without any to leave out, one node alone is no error.
    assert run(site, LIVE + "strict: true\n", lab.environ).returncode == 0
    lab.endpoint.bring_up("node03")
    lab.endpoint.take_down("node01")
    source = LIVE + "include_tags: [blue]\nstrict: true\n"  # which a VM with a definition has
    done = run(site, source, lab.environ)
    assert done.returncode == 0, done.stderr
    assert "left out" not in " ".join(done.stderr.split())
    assert json.loads(done.stdout)["power_unknown"]["hosts"] == ["leased"]


@pytest.mark.parametrize(
    ("tags", "definition", "is_left_out"),
    [
        ("stackyard;old", None, True),  # its definition is gone
        ("stackyard;old", "", False),
        ("old", "", True),  # somebody else's of that name
        ("old", "managed: false\n", False),
        ("stackyard;old", "vmid: 999\n", True),
        ("stackyard;old", "vmid: 109\n", False),
    ],
)
def test_a_forgotten_vm_is_left_out_unless_it_may_be_a_definitions(
    tags: str,
    definition: str | None,
    is_left_out: bool,
    site: Path,
    proxmox_endpoint: StartEndpoint,
) -> None:
    vms = {**VMS, "gone": vm(109, "node03", tags=tags)}
    lab = proxmox_endpoint({"vms": vms, "timing": {"statd": 3600}}, machines=Leasing())
    lab.endpoint.cluster.seen = {}
    lab.endpoint.take_down("node03")
    if definition is not None:
        define(site, "gone", definition)
    done = run(site, LIVE + "include_tags: [old]\n", lab.environ)
    assert ("1 are left out" in " ".join(done.stderr.split())) == is_left_out
    known = json.loads(done.stdout).get("power_unknown", {}).get("hosts", [])
    assert ("gone" in known) or is_left_out


def test_a_forgotten_vm_is_one_definitions_at_most(
    site: Path, proxmox_endpoint: StartEndpoint
) -> None:
    vms = {
        **VMS,
        "b": vm(109, "node03", tags="stackyard;old"),
        "nas": vm(110, "node03", tags="old"),
    }
    lab = proxmox_endpoint({"vms": vms, "timing": {"statd": 3600}}, machines=Leasing())
    lab.endpoint.cluster.seen = {}
    lab.endpoint.take_down("node03")
    define(site, "b", "vmid: 109\n")
    define(site, "a-nas", "managed: false\n")
    define(site, "never-made")
    data = json.loads(run(site, LIVE + "include_tags: [old]\nstrict: true\n", lab.environ).stdout)
    assert data["power_unknown"]["hosts"] == ["a-nas", "b", "never-made"]


def test_hosts_that_a_token_does_not_see_any_more_are_an_error_where_it_is_strict(
    site: Path, proxmox_endpoint: StartEndpoint
) -> None:
    lab = started(proxmox_endpoint)
    blind = {"PROXMOX_TOKEN_ID": "readonly", "PROXMOX_TOKEN_SECRET": lab.secrets[READ_ONLY]}
    source = LIVE + "include_tags: [web]\n"
    done = run(site, source, lab.environ | blind)
    assert "Proxmox shows no VM at all" in " ".join(done.stderr.split())
    assert set(json.loads(done.stdout)["_meta"]["hostvars"]) == {"leased", "stopped"}
    assert "no VM at all" in refused(site, source + "strict: true\n", lab.environ | blind)
    # Where there is none to be left out, a cluster may well be empty.
    assert run(site, LIVE + "strict: true\n", lab.environ | blind).returncode == 0


def test_a_vm_that_may_be_on_a_silent_node_is_not_absent(
    site: Path, proxmox_endpoint: StartEndpoint
) -> None:
    lab = started(proxmox_endpoint)
    define(site, "nowhere")  # on node01
    lab.endpoint.take_down("node01")
    done = run(site, LIVE, lab.environ)
    assert "node01 does not answer: what 2 hosts that may be there do" in " ".join(
        done.stderr.split()
    )
    assert json.loads(done.stdout)["power_unknown"]["hosts"] == ["leased", "nowhere"]
    lab.endpoint.bring_up("node01")
    assert listed(site, LIVE, lab)["power_absent"]["hosts"] == ["nowhere"]


def test_the_cache_answers_the_same_question_only(
    site: Path, proxmox_endpoint: StartEndpoint
) -> None:
    lab, source = started(proxmox_endpoint), kept(site)
    first = listed(site, source, lab)
    assert lab.requests()
    assert listed(site, source, lab) == first
    assert lab.requests() == []
    define(site, "silent")
    assert "silent" in listed(site, source, lab)["power_running"]["hosts"]
    assert lab.requests()


def test_an_answer_grows_old_however_often_definitions_change(
    site: Path, proxmox_endpoint: StartEndpoint
) -> None:
    lab, source = started(proxmox_endpoint), kept(site) + "cache_timeout: 300\n"
    listed(site, source, lab)
    for cores in (2, 3):  # which decides nothing of what Proxmox is asked
        for entry in (site / "cache").iterdir():
            now = entry.stat().st_mtime
            os.utime(entry, (now - 200, now - 200))
        define(site, "leased", f"agent: 1\ncores: {cores}\n")
        listed(site, source, lab)
        assert bool(lab.requests()) == (cores == 3)


def test_a_proxmox_that_is_down(site: Path) -> None:
    kept = f"cache: true\ncache_plugin: jsonfile\ncache_connection: {site / 'cache'}\n"
    done = run(site, LIVE + kept, DOWN)
    assert done.returncode == 0
    said = " ".join(done.stderr.split())
    assert "cannot reach Proxmox at https://127.0.0.1:1" in said
    assert "hosts come from the definitions alone" in said
    hosts = json.loads(done.stdout)["_meta"]["hostvars"]
    assert set(hosts) == {"leased", "stopped"}
    assert "proxmox_status" not in hosts["leased"]
    # Strictly it is an error, whatever was cached while it was down.
    said = refused(site, LIVE + kept + "strict: true\n", DOWN)
    assert "cannot reach Proxmox" in said
    assert "check PROXMOX_URL: " not in said  # the sentence, and not what it was made of after it


@pytest.mark.parametrize("more", ["", "cache"])
def test_a_site_whose_vms_are_all_in_proxmox_alone(
    more: str, site: Path, proxmox_endpoint: StartEndpoint
) -> None:
    lab, source = started(proxmox_endpoint), kept(site) if more else LIVE
    for path in (site / "vms").iterdir():
        path.unlink()
    assert "no definition here" in refused(site, source, lab.environ)
    hosts = listed(site, source + "include_tags: [web]\n", lab)["_meta"]["hostvars"]
    assert set(hosts) == {"other"}
    # No host at all would be the end of all that AWX has.
    assert "there is no host" in refused(site, source + "include_tags: [none]\n", lab.environ)
    down = f"plugin: vms\nverify: proxmox\ninclude_tags: [web]\nvms: {site / 'vms'}\n"
    assert "there is no host" in refused(site, down, DOWN)


def test_what_is_always_an_error(site: Path, proxmox_endpoint: StartEndpoint) -> None:
    wrong = {**started(proxmox_endpoint).environ, "PROXMOX_TOKEN_SECRET": "made-up-password"}
    assert "401" in refused(site, LIVE, wrong)
    assert "PROXMOX_USER is not set: give a user" in refused(site, LIVE, {})
    for number in ("include_tags: [2024]", "include_pools: [2024]"):
        said = refused(site, f"{LIVE}{number}\n", {})
        assert f"2024 in {number.partition(':')[0]} is no text: put it in quotes" in said
    without = "plugin: vms\ninclude_pools: [lab]\n"
    assert "include_tags and include_pools need verify: proxmox" in refused(site, without, {})
