"""VMIDs and names that no list shows: those of containers, and of nodes that are away."""

import json
from pathlib import Path
from typing import Any

from apply_site import Site, make_site, vm
from proxmox_lab import StartEndpoint

from stackyard.lab.api.vm import Vm


def vmids(site: Site) -> dict[str, int]:
    """The VMIDs that a plan gives new VMs."""
    plan = site.run("plan", "--json")
    assert plan.returncode == 2, plan.stdout + plan.stderr
    return {a["name"]: a["vmid"] for wave in json.loads(plan.stdout)["waves"] for a in wave}


def test_a_container_keeps_its_vmid(proxmox_endpoint: StartEndpoint, tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=2)
    first = vmids(site)
    site.endpoint.endpoint.cluster.containers[first["k8s-0"]] = "node03"

    second = vmids(site)

    assert second["k8s-0"] not in first.values()
    assert second["k8s-1"] == first["k8s-1"]
    made = site.run("apply", "--yes")
    assert made.returncode == 0, made.stdout + made.stderr
    assert {row["name"]: row["vmid"] for row in site.vms() if row["name"] != "legacy"} == second
    site.endpoint.forget_requests()
    assert site.run("plan").returncode == 0
    assert len(site.endpoint.requests()) == 1 + 3 + 2

    site.define({**vm(2), "vmid": first["k8s-0"]})
    wished = site.run("plan")
    assert wished.returncode == 1
    taken = f"vmid: {first['k8s-0']}"
    lines = (site.path / "vms" / "k8s-2.yaml").read_text().splitlines()
    at = f"k8s-2.yaml:{lines.index(taken) + 1}"
    assert f"{at}: the VMID {first['k8s-0']} of k8s-2 is taken by a container" in (wished.stdout)


def test_a_vm_on_a_node_that_is_away_is_not_made_again(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=2)
    assert site.run("apply", "--yes").returncode == 0
    vmid = next(str(row["vmid"]) for row in site.vms() if row["name"] == "k8s-1")
    site.define({**vm(1), "target_node": "node01"})
    endpoint = site.endpoint.endpoint
    endpoint.take_down("node02")
    site.endpoint.forget_requests()

    nameless = site.run("apply", "--yes")  # the cluster has not heard its name yet
    endpoint.look()
    named = site.run("apply", "--yes")
    destroyed = site.run("destroy", "k8s-1", "--yes")

    imported = site.run("import", "--vmid", vmid, "--output", str(tmp_path / "k8s-1.yaml"))

    assert nameless.returncode == named.returncode == destroyed.returncode == 1
    assert imported.returncode == 1
    assert "is on node02, which does not answer: bring it up first" in imported.stderr
    assert not (tmp_path / "k8s-1.yaml").exists()
    assert "on node02, which does not answer, may be it: bring the node up" in nameless.stdout
    assert "on node02, which does not answer: bring it up first" in named.stdout
    assert "on node02, which does not answer" in destroyed.stderr
    assert site.writes() == []


class Hiding(dict[int, Vm]):
    """VMs of which one is in no list that is answered, as for a token without VM.Audit on it."""

    hidden = 0

    def values(self) -> Any:
        return [vm for vmid, vm in self.items() if vmid != self.hidden]


def test_a_vm_that_the_token_may_not_see_any_more_is_not_made_again(
    proxmox_endpoint: StartEndpoint, tmp_path: Path
) -> None:
    site = make_site(tmp_path / "site", proxmox_endpoint(), count=1)
    assert site.run("apply", "--yes").returncode == 0
    vmid = next(int(row["vmid"]) for row in site.vms() if row["name"] == "k8s-0")
    cluster = site.endpoint.endpoint.cluster
    cluster.vms = seen = Hiding(cluster.vms)
    seen.hidden = vmid

    again = site.run("apply", "--yes")

    assert again.returncode == 1
    assert [vm.label for vm in dict.values(seen)].count("k8s-0") == 1
    assert (
        f"VM {vmid} is in no list that the token is shown, and may be k8s-0 itself" in again.stdout
    )
    site.define({**vm(0), "vmid": vmid + 1, "ipconfig0": "ip=192.168.1.30/24"})
    assert site.run("apply", "--yes").returncode == 0
