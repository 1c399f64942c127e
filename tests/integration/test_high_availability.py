"""`ha` of a definition: made, changed, kept to, imported and removed, on the lab's endpoint."""

from pathlib import Path
from typing import Any

import yaml
from apply_site import Site, make_site, vm
from proxmox_lab import StartEndpoint

PATH = "/cluster/ha/resources"


def resources(site: Site) -> dict[str, dict[str, Any]]:
    """The resources by VM, without what only Proxmox needs."""
    names = {f"vm:{row['vmid']}": row["name"] for row in site.vms()}
    return {
        names[row["sid"]]: {k: v for k, v in row.items() if k not in ("sid", "type", "digest")}
        for row in site.endpoint.call("GET", PATH)
    }


def status(site: Site, name: str) -> str:
    return str(next(row for row in site.vms() if row["name"] == name)["status"])


def apply(site: Site, *options: str) -> str:
    done = site.run("apply", "--yes", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    site.endpoint.forget_requests()
    again = site.run("plan")
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(site.endpoint.requests()) == 1 + 3 + 2 + 1  # the list of the resources on top
    return done.stdout


def test_a_vm_is_kept_by_the_cluster_as_defined(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=2)
    site.define({**vm(0), "vm_state": None, "ha": {"state": "started", "max_restart": 3}})
    site.define({**vm(1), "vm_state": "stopped", "ha": {"comment": "by night"}})

    said = apply(site)

    assert "kept by HA, running" in said
    assert resources(site) == {
        "k8s-0": {"state": "started", "max_restart": 3},
        "k8s-1": {"state": "stopped", "comment": "by night"},
    }
    assert (status(site, "k8s-0"), status(site, "k8s-1")) == ("running", "stopped")

    site.define({**vm(0), "vm_state": None, "ha": {"state": "stopped", "max_relocate": 2}})
    site.define({**vm(1), "ha": {"group": "rack1"}})
    said = apply(site)
    assert "HA state started → stopped, max_relocate 1 → 2" in said
    assert (status(site, "k8s-0"), status(site, "k8s-1")) == ("stopped", "running")
    assert resources(site)["k8s-0"] == {"state": "stopped", "max_restart": 3, "max_relocate": 2}
    assert resources(site)["k8s-1"]["group"] == "rack1"

    site.define(vm(0))  # no word of HA: it stays, and the power goes through it all the same
    site.define({**vm(1), "ha": "none"})
    apply(site)
    assert set(resources(site)) == {"k8s-0"}
    assert resources(site)["k8s-0"]["state"] == "started"
    assert (status(site, "k8s-0"), status(site, "k8s-1")) == ("running", "running")

    moved = site.run("destroy", "k8s-0", "--yes")
    assert moved.returncode == 0, moved.stdout + moved.stderr
    assert site.endpoint.call("GET", PATH) == []


def test_a_vm_moves_by_the_cluster_and_a_failed_step_is_made_up_for(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    site.define({**vm(0), "ha": "started"}, {**vm(1), "ha": "started"})
    site.endpoint.set_fault("POST", PATH, reason="got lock request timeout")

    failed = site.run("apply", "--yes", "--limit", "k8s-0")

    assert failed.returncode == 1
    assert "got lock request timeout" in failed.stdout
    apply(site)
    assert {name: entry["state"] for name, entry in resources(site).items()} == {
        "k8s-0": "started",
        "k8s-1": "started",
    }
    site.define({**vm(0), "ha": "started", "target_node": "node03"})
    apply(site)
    moved = next(row for row in site.vms() if row["name"] == "k8s-0")
    assert (moved["node"], moved["status"]) == ("node03", "running")


def test_what_waits_does_not_keep_the_cluster_from_stopping_a_vm(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    kept = {**vm(0), "vm_state": None, "automatic_reboot": False, "ha": {"state": "started"}}
    for more in ({}, {"memory": 2048}, {"memory": 2048, "cores": 3, "ha": {"state": "stopped"}}):
        site.define(kept | more)
        done = site.run("apply", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr

    assert status(site, "k8s-0") == "stopped"
    assert (site.config("k8s-0")["memory"], site.config("k8s-0")["cores"]) == ("2048", 3)
    assert site.run("plan").returncode == 0


def test_what_ha_says_is_imported(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=0)
    vmid = next(row["vmid"] for row in site.vms() if row["name"] == "legacy")
    site.endpoint.call("POST", PATH, sid=f"vm:{vmid}", state="ignored", max_restart=4, failback=0)

    imported = site.run("import", "legacy")

    assert imported.returncode == 0, imported.stderr
    written = yaml.safe_load((site.path / "vms" / "legacy.yaml").read_text())
    assert written["ha"] == {
        "state": "ignored", "max_restart": 4, "max_relocate": 1, "failback": False,
    }  # fmt: skip
    assert site.run("plan").returncode == 0


def test_another_writer_is_heeded(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    site, kept = make_site(tmp_path / "site", proxmox_endpoint(), count=2), tmp_path / "plan.json"
    for number in (0, 1):
        site.define({**vm(number), "ha": "started"})
    apply(site)
    site.define({**vm(0), "ha": {"max_restart": 2}}, {**vm(1), "ha": {"max_restart": 2}})
    assert site.run("plan", "--out", str(kept)).returncode == 2
    sid = next(f"vm:{row['vmid']}" for row in site.vms() if row["name"] == "k8s-1")
    site.endpoint.call("PUT", f"{PATH}/{sid}", comment="somebody else")

    applied = site.run("apply", str(kept), "--yes")

    assert applied.returncode == 3, applied.stdout + applied.stderr
    assert "its resource of high availability changed since the plan was made" in applied.stdout
    assert resources(site)["k8s-0"]["max_restart"] == 2
    assert "max_restart" not in resources(site)["k8s-1"]

    cluster = site.endpoint.endpoint.cluster

    def write() -> None:  # of another resource: the digest is that of all of them
        cluster.ha[int(sid.partition(":")[2])]["comment"] = "once more"

    site.define({**vm(0), "ha": {"max_restart": 5}})
    site.endpoint.set_fault("PUT", PATH, meanwhile=write)
    assert site.run("apply", "--yes", "--limit", "k8s-0").returncode == 0
    assert resources(site)["k8s-0"]["max_restart"] == 5
