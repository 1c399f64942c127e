"""A commit on the lab's machines: VM, K3s, load balancer and kubeconfig, and then nothing more."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab_fixture import USER, RunningLab
from secret_search import CommandLines, files_of, holds, lab_secrets

ROOT = Path(__file__).parents[2]
LAB_PAGE = ROOT / "docs/lab.md"
BIN = Path(sys.executable).parent
DATA = "/mnt/storage/k3s"
BALANCER, SERVER = "192.168.1.45", "192.168.1.46"

pytestmark = pytest.mark.machines


def vm(name: str, address: str, **values: Any) -> dict[str, Any]:
    return {
        "name": name,
        "target_node": "node03",
        "memory": 1024,
        "vm_state": "running",
        "disks": [
            {"slot": "scsi0", "storage": "local-lvm", "size": "8G"},
            {"slot": "ide1", "type": "cloudinit", "storage": "local-lvm"},
        ],
        "ipconfig0": f"ip={address}/24,gw=192.168.1.1",
        **values,
    }


@dataclass
class Checkout:
    """A clone of the product's own repository with VMs of this test."""

    lab: RunningLab
    path: Path

    def git(self, *arguments: str) -> None:
        settings = ("-c", "user.name=T", "-c", "user.email=t@example.invalid")
        command = ["git", *settings, "-c", "commit.gpgsign=false", *arguments]
        subprocess.run(command, cwd=self.path, check=True)

    def commit(self, message: str) -> None:
        self.git("commit", "-q", "--allow-empty", "-m", message)

    def run(self, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        given = [f"{name}={value}" for name, value in environ.items()]
        command = ["env", *given, str(BIN / "stackyard"), *arguments, "--site", str(self.path)]
        return self.lab.run(command, check=False, timeout=300)

    def tags(self, name: str) -> set[str]:
        rows = self.lab.api("GET", "/nodes/node03/qemu")
        return {tag for row in rows if row.get("name") == name for tag in row["tags"].split(";")}

    def secrets_of_cluster(self) -> list[bytes]:
        """The administrator's key, and the word that lets a node join."""
        command = f"sudo cat /etc/rancher/k3s/k3s.yaml {DATA}/server/token"
        found = re.findall(
            r"client-key-data: (\S{10,})|::server:(\S{10,})", self.lab.ssh(SERVER, command)
        )
        assert len(found) == 2
        return [(key or token).encode() for key, token in found]

    def writes(self) -> int:
        log = (self.lab.folder / "requests.jsonl").read_text()
        return len([line for line in log.splitlines() if '"GET"' not in line])


@pytest.fixture(scope="module")
def checkout(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    path = tmp_path_factory.mktemp("run") / "site"
    for folder in ("plays", "roles", "plugins", "inventory"):
        shutil.copytree(ROOT / folder, path / folder, ignore=shutil.ignore_patterns("known_hosts"))
    shutil.copy(ROOT / "ansible.cfg", path)
    (path / "vms").mkdir()
    shutil.copy(ROOT / "vms/_defaults.yaml", path / "vms")
    for values in (
        vm("haproxy-run", BALANCER),
        vm("k8s-run", SERVER, variables={"k3s_api_frontend_port": 7445}),
    ):
        (path / f"vms/{values['name']}.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    cloned = Checkout(lab, path)
    cloned.git("init", "-q")
    yield cloned
    for row in lab.api("GET", "/nodes/node03/qemu"):
        if row.get("name") in ("haproxy-run", "k8s-run"):
            vm_path = f"/nodes/node03/qemu/{row['vmid']}"
            if row["status"] == "running":
                assert lab.task("POST", f"{vm_path}/status/stop") == "OK"
            assert lab.task("DELETE", vm_path) == "OK"


def test_a_commit_makes_a_cluster_and_a_second_run_is_quiet(checkout: Checkout) -> None:
    checkout.commit("feat: add a load balancer [ansible haproxy-run]")
    first = checkout.run("run", "--commit", "HEAD")
    assert first.returncode == 0, first.stderr
    assert checkout.tags("haproxy-run") == {"stackyard"}
    assert not checkout.tags("k8s-run")

    checkout.commit("feat(proxmox): add k8s-run VM [ansible k8s-run]")
    with CommandLines() as lines:
        second = checkout.run("run", "--commit", "HEAD", "--verbose")
    assert second.returncode == 0, second.stderr
    assert checkout.tags("k8s-run") == {"stackyard"}
    assert "plays/haproxy.yml" in second.stdout
    version = f"https://{BALANCER}:7445/version"
    answer = checkout.lab.run(["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", version])
    assert answer.stdout in ("200", "401")  # K3s answers, through the load balancer
    shown = checkout.lab.run([str(BIN / "stackyard"), "kubeconfig", "list"])
    assert "k8s-run" in shown.stdout, shown.stderr

    known = Path(checkout.lab.environ["STACKYARD_KNOWN_HOSTS"]).read_text()
    assert f"{SERVER},k8s-run ssh-ed25519 " in known
    assert not (checkout.path / "inventory/known_hosts").exists()

    before = checkout.writes()
    again = checkout.run("run", "--commit", "HEAD")
    assert again.returncode == 0, again.stderr
    assert checkout.writes() == before
    assert again.stdout.count("changed=0") == 2

    ready = checkout.run("ready")
    assert ready.returncode == 0, ready.stdout
    assert ready.stdout.count(" yes") == 2

    secrets = [*lab_secrets(checkout.lab), *checkout.secrets_of_cluster()]
    texts = [first.stderr, second.stderr, again.stderr, second.stdout]
    assert not any(secret in text.encode() for text in texts for secret in secrets)
    assert [path for path in files_of(checkout.path) if holds(path, secrets)] == []
    # Of the product, of Ansible, and of what ran on the machines.
    assert lines.of(b"ansible-playbook")
    assert lines.of(b"k3s\0server")
    assert not any(lines.of(secret) for secret in secrets)


def test_the_ssh_command_of_the_labs_page_reaches_a_machine(checkout: Checkout) -> None:
    checkout.commit("feat: add a load balancer [ansible haproxy-run]")
    assert checkout.run("run", "--commit", "HEAD").returncode == 0
    command = re.search("^# stackyard lab exec -- (ssh .+)$", LAB_PAGE.read_text(), re.MULTILINE)
    assert command
    words = command[1].replace(".lab/", f"{checkout.lab.folder}/").split()
    words[-2] = f"{USER}@{BALANCER}"
    batch = [words[0], "-F", "/dev/null", "-o", "BatchMode=yes", *words[1:]]  # nobody to ask
    assert checkout.lab.run(batch).stdout == "haproxy-run\n"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("VAULT_TOKEN", "wrong", "the token is wrong or may not do this"),
        ("VAULT_ADDR", "https://192.168.1.8:8299", "no answer, is it running?"),
    ],
)
def test_a_vault_that_refuses_or_is_down_is_one_sentence_and_the_rest_is_kept(
    checkout: Checkout, variable: str, value: str, said: str
) -> None:
    checkout.commit("fix: the cluster again [ansible k8s-run]")
    failed = checkout.run("run", "--commit", "HEAD", **{variable: value})
    assert failed.returncode == 1
    error = failed.stderr.splitlines()[-1]
    assert error.startswith("error: plays/k3s.yml failed on k8s-run in 'k3s : Publish the kubec")
    assert said in error
    assert "; ready: k8s-run; not configured: k8s-run; run again with: stackyard run" in error
    assert "Traceback" not in failed.stderr
    shown = checkout.lab.run([str(BIN / "stackyard"), "kubeconfig", "list"])
    assert "k8s-run" in shown.stdout
