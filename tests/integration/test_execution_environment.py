"""What execution-environment.yml asks for is enough for all that the collection does."""

import json
from pathlib import Path

import pytest
import yaml
from ansible_venv import ROOT, ansible_venv
from many_writers import cluster
from proxmox_lab import StartEndpoint
from test_collection import NAME, collections, run, tarball
from test_live import started
from vault_lab import Vault

from stackyard.kubeconfig import dump

__all__ = ["collections", "tarball"]


@pytest.fixture(scope="session")
def bare() -> Path:
    """An environment with what the image has, and nothing else."""
    wanted = yaml.safe_load((ROOT / "execution-environment.yml").read_text())["dependencies"]
    return ansible_venv(wanted["ansible_core"]["package_pip"], *wanted["python"])


def test_a_source_asks_proxmox(
    bare: Path, collections: Path, tmp_path: Path, proxmox_endpoint: StartEndpoint
) -> None:
    (tmp_path / "vms").mkdir()
    text = "name: leased\ntarget_node: node01\nipconfig0: ip=dhcp\nagent: 1\n"
    (tmp_path / "vms" / "leased.yaml").write_text(text)
    source = tmp_path / "vms.yml"
    source.write_text(f"plugin: {NAME}\nvms: vms\nverify: proxmox\nstrict: true\n")
    command = ("ansible-inventory", "--list", "-i", str(source))
    environ = started(proxmox_endpoint).environ
    listed = json.loads(run(bare, *command, collections=collections, environ=environ))
    assert listed["_meta"]["hostvars"]["leased"]["ansible_host"] == "10.9.0.101"


def test_a_play_publishes_into_vault(
    bare: Path, collections: Path, tmp_path: Path, vault: Vault
) -> None:
    store = "vault:kv/execution-environment/KUBECONFIG"
    published = {"content": dump(cluster("k8s-a")), "context": "k8s-a", "store": store}
    there = f"'server:' in lookup('fullstack.stackyard.kubeconfig', 'k8s-a', store='{store}')"
    tasks = [
        {"fullstack.stackyard.kubeconfig": published},
        {"ansible.builtin.assert": {"that": there}, "no_log": True},
    ]
    play = tmp_path / "play.yml"
    play.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    command = ("ansible-playbook", "-i", "localhost,", str(play))
    shown = run(bare, *command, collections=collections, environ=vault.environ)
    assert "changed=1" in shown
    assert "k8s-a" in vault.secret("execution-environment/KUBECONFIG")["KUBECONFIG"]
