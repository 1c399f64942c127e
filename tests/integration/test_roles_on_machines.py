"""The roles on machines of the lab: converge, nothing to do, upgrade, failure, in this order."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab_fixture import USER, RunningLab
from secret_search import files_of, holds, is_private, lab_secrets

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.machines

SERVER, BALANCER = "192.168.1.40", "192.168.1.41"
VERSION, NEWER = "v1.33.5+k3s1", "v1.33.6+k3s1"
SECRET = "cluster-secret-store/secrets/KUBECONFIG"

HOSTS: dict[str, dict[str, Any]] = {
    "k8s-tools": {"ansible_host": "192.168.1.15", "k3s_api_frontend_port": 6443},
    "k8s-home": {"ansible_host": "192.168.1.16", "k3s_api_frontend_port": 6444},
    "k8s-ha1": {
        "ansible_host": "192.168.1.17",
        "k3s_api_frontend_port": 6445,
        "k3s_cluster_name": "ha",
    },
    "k8s-ha2": {
        "ansible_host": "192.168.1.18",
        "k3s_api_frontend_port": 6445,
        "k3s_cluster_name": "ha",
        "k3s_api_port": 7443,
    },
    "k8s-private": {"ansible_host": "192.168.1.19"},
    "k8s-stopped": {"ansible_host": "192.168.1.20", "k3s_api_frontend_port": 6446},
    "k8s-foreign": {"ansible_host": "192.168.1.21", "k3s_api_frontend_port": 6447},
}
RENDERED = "/root/rendered.cfg"
ON_A_DISK = r"""
sudo mkdir /srv/disk && sudo systemctl stop k3s && sudo mv /mnt/storage/k3s /srv/disk/
printf '[Mount]\nWhat=/srv/disk\nWhere=/mnt/storage\nType=none\nOptions=bind\n' |
    sudo tee /etc/systemd/system/mnt-storage.mount
sudo systemctl daemon-reload && sudo systemctl start mnt-storage.mount k3s
"""
# What systemd 249 says of an option's value that came with 251.
OLDER_SYSTEMCTL = """
sudo tee /usr/local/bin/systemctl <<'END' && sudo chmod 755 /usr/local/bin/systemctl
#!/bin/sh
case "$*" in *--timestamp=unix*) echo "Invalid value: unix." >&2; exit 1 ;; esac
exec /usr/bin/systemctl "$@"
END
"""
# HAProxy runs with an old configuration, and the file is the new one.
OLD_PROCESS = """
cd /etc/haproxy && sudo cp haproxy.cfg new.cfg
sudo sed -i 's/string [0-9a-f]*/string old/' haproxy.cfg && sudo systemctl reload haproxy
timeout 30 sh -c 'until curl -s 127.0.0.1:8404/fingerprint | grep -qx old; do sleep 0.2; done'
sudo mv new.cfg haproxy.cfg
"""

# Checked by the machine's own HAProxy, which goes on with its own file: no handler runs.
PLAY = f"""
- hosts: haproxy_servers
  gather_facts: false
  become: true
  tasks:
    - ansible.builtin.include_role: {{name: haproxy, tasks_from: preflight.yml}}
    - ansible.builtin.include_role: {{name: haproxy, tasks_from: configure.yml}}
      vars: {{haproxy_config_file: {RENDERED}}}
    - ansible.builtin.meta: end_play
"""


@dataclass
class Site:
    """Two machines and an inventory of them."""

    lab: RunningLab
    folder: Path
    dry: subprocess.CompletedProcess[str] | None = None  # of new machines
    first: subprocess.CompletedProcess[str] | None = None

    def play(self, name: str, *options: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        """Run one of the repository's plays."""
        return self.playbook(
            ROOT / "plays" / name, "hosts.yml", *options, "-e", json.dumps(variables)
        )

    def render(self, hosts: dict[str, dict[str, Any]]) -> subprocess.CompletedProcess[str]:
        """Run the role's preflight and configure alone, for an inventory of K3s hosts."""
        children = {
            "k3s": {"hosts": hosts},
            "state_stopped": {"hosts": {"k8s-stopped": {}}},
            "unmanaged": {"hosts": {"k8s-foreign": {}}},
            "haproxy_servers": {"hosts": {"balancer": {"ansible_host": BALANCER}}},
        }
        document = {"all": {"vars": {"ansible_user": USER}, "children": children}}
        (self.folder / "rendered.yml").write_text(yaml.safe_dump(document))
        play = self.folder / "play.yml"
        play.write_text(PLAY)
        return self.playbook(play, "rendered.yml")

    def playbook(
        self, path: Path, inventory: str, *options: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a playbook with an inventory of this folder."""
        ssh = f"-o UserKnownHostsFile={self.folder}/known_hosts -o StrictHostKeyChecking=accept-new"
        command = [str(BIN / "ansible-playbook"), "-i", str(self.folder / inventory)]
        return self.lab.run(
            [
                "env",
                f"ANSIBLE_CONFIG={ROOT}/ansible.cfg",
                "ANSIBLE_NOCOLOR=1",
                *command,
                f"--ssh-common-args={ssh}",
                str(path),
                *options,
            ],
            check=False,
        )

    def kubectl(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Ask the cluster through the load balancer, with the kubeconfig that is in Vault."""
        got = self.lab.run([str(BIN / "bao"), "kv", "get", "-field=KUBECONFIG", f"kv/{SECRET}"])
        path = self.folder / "kubeconfig"
        path.touch(mode=0o600)
        path.write_text(got.stdout)
        command = [str(BIN / "kubectl"), f"--kubeconfig={path}", "--context=k8s-role"]
        return self.lab.run(
            [*command, f"--server=https://{BALANCER}:7443", "--request-timeout=5s", *words],
            check=check,
        )

    def node(self) -> dict[str, Any]:
        item: dict[str, Any] = json.loads(self.kubectl("get", "node/k8s-role", "-o", "json").stdout)
        return item


def changed(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Return how many tasks changed something, by host, of a run that went well."""
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(r"^(\S+)\s+: ok=.*changed=(\d+)", done.stdout, re.MULTILINE)
    return {host: int(count) for host, count in found}


@pytest.fixture(scope="module")
def site(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The two machines after the first run."""
    folder = tmp_path_factory.mktemp("roles")
    groups = {
        "k3s": {
            "hosts": {"k8s-role": {"ansible_host": SERVER, "k3s_api_frontend_port": 7443}},
            "vars": {"k3s_tls_sans": [BALANCER], "k3s_data_dir": "/mnt/storage/k3s"},
        },
        "haproxy_servers": {"hosts": {"balancer": {"ansible_host": BALANCER}}},
        "state_stopped": {},
        "unmanaged": {},
    }
    hosts = {"all": {"vars": {"ansible_user": USER}, "children": groups}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts))
    paths = [
        lab.create_machine(3040, "k8s-role", SERVER),
        lab.create_machine(3041, "balancer", BALANCER),
    ]
    for path in paths:
        assert lab.task("POST", f"{path}/status/start") == "OK"
    for address in (SERVER, BALANCER):
        lab.wait_for_ssh(address)
    one = Site(lab, folder)
    one.dry = one.play("site.yml", "--check", "--diff")
    one.first = one.play("site.yml", "-vvv")
    assert one.first.returncode == 0, one.first.stdout + one.first.stderr
    yield one
    for path in paths:
        assert lab.task("POST", f"{path}/status/stop") == "OK"
        assert lab.task("DELETE", path) == "OK"


def test_the_cluster_answers_through_the_load_balancer_with_the_secret_from_vault(
    site: Site,
) -> None:
    node = site.node()

    ready = {one["type"]: one["status"] for one in node["status"]["conditions"]}["Ready"]
    assert ready == "True"
    assert node["status"]["nodeInfo"]["kubeletVersion"] == VERSION


def test_a_dry_run_on_new_machines_tells_what_would_change(site: Site) -> None:
    assert site.dry is not None
    assert changed(site.dry) == {"k8s-role": 5, "balancer": 2}
    assert "+    server k8s-role 192.168.1.40:6443" in site.dry.stdout


def test_a_dry_run_of_an_upgrade_waits_for_nothing(site: Site) -> None:
    done = site.play("k3s.yml", "--check", k3s_version=NEWER)
    assert changed(done) == {"k8s-role": 2}  # the binary, and the restart
    assert site.node()["status"]["nodeInfo"]["kubeletVersion"] == VERSION


def test_a_second_run_and_a_dry_run_change_nothing(site: Site) -> None:
    assert changed(site.play("site.yml")) == {"k8s-role": 0, "balancer": 0}
    assert changed(site.play("site.yml", "--check")) == {"k8s-role": 0, "balancer": 0}


def test_what_is_given_on_the_command_line_counts_as_what_it_means(site: Site) -> None:
    texts = f"k3s_publish=false k3s_ready_timeout=200 k3s_tls_sans={BALANCER}"
    done = site.play("k3s.yml", "-e", texts)

    assert changed(done) == {"k8s-role": 0}
    published = done.stdout.partition("TASK [k3s : Publish the kubeconfig]")[2]
    assert published.split()[1] == "skipping:"


def test_a_machine_that_does_not_come_to_its_end_of_booting_is_told(site: Site) -> None:
    stuck = "/usr/local/bin/cloud-init"  # found before the machine's own
    script = f"printf '#!/bin/sh\\nsleep 600\\n' | sudo tee {stuck} && sudo chmod 755 {stuck}"
    site.lab.ssh(SERVER, script)
    done = site.play("k3s.yml", first_boot_timeout=1)
    site.lab.ssh(SERVER, f"sudo rm {stuck}")
    assert done.returncode != 0
    said = " ".join((done.stdout + done.stderr).split())
    assert "cloud-init has not finished within 1 s: see `cloud-init status --long`" in said


def test_secrets_are_printed_nowhere_and_in_private_files(site: Site) -> None:
    token = site.lab.ssh(SERVER, "sudo cat /mnt/storage/k3s/server/token").strip()
    kubeconfig = yaml.safe_load(site.lab.ssh(SERVER, "sudo cat /etc/rancher/k3s/k3s.yaml"))
    key = kubeconfig["users"][0]["user"]["client-key-data"]
    files = (
        "/etc/rancher/k3s/config.yaml /etc/rancher/k3s/k3s.yaml /etc/systemd/system/k3s.service.env"
    )

    assert site.first is not None
    for secret in (token, token.rpartition(":")[2], key):
        assert secret not in site.first.stdout + site.first.stderr
    modes = site.lab.ssh(SERVER, f"sudo stat --format=%a {files}").split()
    assert modes == ["600", "600", "600"]
    log = site.lab.ssh(SERVER, "sudo journalctl --unit=k3s --output=cat")
    assert token.rpartition(":")[2] not in log


def test_no_file_that_others_may_read_holds_a_secret(site: Site) -> None:
    server = "sudo cat /etc/rancher/k3s/k3s.yaml /mnt/storage/k3s/server/token"
    key, token = re.findall(r"client-key-data: (\S+)|::server:(\S+)", site.lab.ssh(SERVER, server))
    assert len(key[0]) > 10
    assert len(token[1]) > 10
    known = [key[0].encode(), token[1].encode(), *lab_secrets(site.lab)]

    # The lab's own files, its machines' disks, and what the play left in this folder.
    holders = [path for path in files_of(site.lab.folder, site.folder) if holds(path, known)]
    assert "k3s.yaml" in {path.name for path in holders}  # the search reaches machines' disks
    wide = [str(path) for path in holders if not is_private(path)]
    assert wide == []


def test_machines_keep_what_the_roles_promise(site: Site) -> None:
    version = site.lab.ssh(SERVER, "k3s --version").split()[2]
    units = site.lab.ssh(SERVER, "systemctl is-enabled k3s; systemctl is-active k3s").split()
    config = yaml.safe_load(site.lab.ssh(SERVER, "sudo cat /etc/rancher/k3s/config.yaml"))
    open_stats = site.lab.run(["curl", "-sm3", f"http://{BALANCER}:8404/"], check=False)
    own_stats = site.lab.ssh(BALANCER, "curl -sm3 -o /dev/null -w '%{http_code}' 127.0.0.1:8404")

    assert version == VERSION
    assert units == ["enabled", "active"]
    assert config["tls-san"] == [SERVER, BALANCER]
    assert open_stats.returncode != 0
    assert own_stats == "200"


def test_a_machine_with_the_systemd_of_ubuntu_22_04_is_configured(site: Site) -> None:
    for address in (SERVER, BALANCER):
        site.lab.ssh(address, OLDER_SYSTEMCTL)  # found before the machine's own
    site.lab.ssh(SERVER, "sudo touch /etc/rancher/k3s/config.yaml")
    # The comparison, and the restart.
    assert changed(site.play("site.yml")) == {"k8s-role": 2, "balancer": 0}
    for address in (SERVER, BALANCER):
        site.lab.ssh(address, "sudo rm /usr/local/bin/systemctl")


def test_k3s_begins_no_new_cluster_where_its_disk_is_not_mounted_yet(site: Site) -> None:
    site.lab.ssh(SERVER, ON_A_DISK)
    authority = "sudo cat /mnt/storage/k3s/server/tls/server-ca.crt"
    before = site.lab.ssh(SERVER, authority)

    # As at boot, when nothing else asks for the disk.
    site.lab.ssh(SERVER, "sudo systemctl stop k3s mnt-storage.mount && sudo systemctl start k3s")

    assert site.lab.ssh(SERVER, authority) == before


def test_an_upgrade_replaces_the_release_and_a_cut_short_run_is_finished(site: Site) -> None:
    # As if an earlier run had written the file and died before the reload.
    site.lab.ssh(BALANCER, OLD_PROCESS)
    started = site.lab.ssh(BALANCER, "systemctl show haproxy --property=ExecMainPID")
    before = site.node()["metadata"]["uid"]

    done = site.play("site.yml", k3s_version=NEWER)

    assert min(changed(done).values()) > 0
    assert "Reload haproxy" in done.stdout
    assert site.lab.ssh(BALANCER, "systemctl show haproxy --property=ExecMainPID") == started
    assert site.node()["status"]["nodeInfo"]["kubeletVersion"] == NEWER
    assert site.node()["metadata"]["uid"] == before
    assert changed(site.play("k3s.yml", k3s_version=NEWER)) == {"k8s-role": 0}


def test_a_load_balancer_that_goes_on_with_its_old_configuration_is_told_and_mended(
    site: Site,
) -> None:
    site.lab.ssh(BALANCER, "sudo systemd-run --unit=taken python3 -m http.server 8405")
    said = site.play("haproxy.yml", haproxy_stats_port=8405)
    site.lab.ssh(BALANCER, "sudo systemctl stop taken")

    assert said.returncode != 0
    assert "HAProxy goes on with its old configuration" in " ".join(said.stdout.split())

    # The file is right by now, and nobody has to remember that the process is not.
    assert changed(site.play("haproxy.yml", haproxy_stats_port=8405))["balancer"] > 0
    assert site.kubectl("get", "--raw", "/readyz").stdout == "ok"

    assert changed(site.play("haproxy.yml"))["balancer"] > 0


def test_the_load_balancer_notices_a_server_that_is_gone_and_back(site: Site) -> None:
    site.lab.ssh(SERVER, "sudo systemctl stop k3s")
    assert site.kubectl("get", "nodes", check=False).returncode != 0

    assert changed(site.play("k3s.yml", k3s_version=NEWER))["k8s-role"] == 1

    script = f"until curl -skm1 -o /dev/null https://{BALANCER}:7443/readyz; do sleep 0.5; done"
    site.lab.run(["timeout", "30", "sh", "-c", script])
    assert site.kubectl("get", "--raw", "/readyz").stdout == "ok"


def test_a_cluster_whose_name_does_not_resolve_yet_is_no_matter_of_the_others(site: Site) -> None:
    names = {"role": SERVER, "named": "k8s-named"}
    servers = {n: [{"name": f"k8s-{n}", "address": to, "port": 6443}] for n, to in names.items()}
    frontends = [
        {"name": "role", "port": 7443, "servers": servers["role"]},
        {"name": "named", "port": 7444, "servers": servers["named"]},
    ]
    version = ["curl", "-sko", "/dev/null", f"https://{BALANCER}:7444/version"]

    first = site.play("haproxy.yml", haproxy_frontends=frontends)
    assert changed(first)["balancer"] > 0
    assert "HAProxy goes on without named,k8s-named (FRONTEND,SERVER): no address" in first.stdout
    assert site.kubectl("get", "--raw", "/readyz").stdout == "ok"
    assert changed(site.play("haproxy.yml", haproxy_frontends=frontends)) == {"balancer": 0}

    site.lab.ssh(BALANCER, f"echo {SERVER} k8s-named | sudo tee -a /etc/hosts")
    assert changed(site.play("haproxy.yml", haproxy_frontends=frontends))["balancer"] > 0
    site.lab.run(["timeout", "30", "sh", "-c", f"until {shlex.join(version)}; do sleep 0.5; done"])
    assert changed(site.play("haproxy.yml", haproxy_frontends=frontends)) == {"balancer": 0}

    # While names are not to be looked up, HAProxy would lose at a reload what it has.
    site.lab.ssh(BALANCER, "sudo sed -i '/ k8s-named$/d' /etc/hosts")
    more = [*frontends, {"name": "more", "port": 7445, "servers": servers["role"]}]
    refused = site.play("haproxy.yml", haproxy_frontends=more)
    assert refused.returncode != 0
    assert "No address is found now for a name behind named,k8s-named" in refused.stdout
    site.lab.run(version)

    assert changed(site.play("haproxy.yml"))["balancer"] > 0


def test_a_wrong_checksum_changes_nothing(site: Site) -> None:
    done = site.play("k3s.yml", k3s_version=VERSION, k3s_checksum="0" * 64)

    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    release = f"{site.lab.environ['K3S_DOWNLOAD_URL']}/v1.33.5%2Bk3s1"
    assert re.search(
        rf"K3s v1.33.5\+k3s1 could not be had from {release} \(k3s\): .* did not match", said
    )
    assert site.lab.ssh(SERVER, "k3s --version").split()[2] == NEWER
    assert site.kubectl("get", "--raw", "/readyz").stdout == "ok"


def test_a_setting_that_k3s_refuses_ends_the_play_with_k3ss_words(site: Site) -> None:
    done = site.play("k3s.yml", k3s_version=NEWER, k3s_config={"tls-sans": "typo"})

    assert done.returncode != 0
    assert f"K3s {NEWER} on k8s-role did not become ready" in done.stdout + done.stderr
    assert "flag provided but not defined: -tls-sans" in done.stdout + done.stderr

    assert changed(site.play("k3s.yml", k3s_version=NEWER))["k8s-role"] > 0


def test_an_installation_in_which_the_machine_lost_its_power_is_finished(site: Site) -> None:
    site.lab.ssh(BALANCER, "sudo apt-get -y purge haproxy && sudo touch /var/lib/dpkg/updates/0000")

    assert changed(site.play("haproxy.yml"))["balancer"] > 0

    assert changed(site.play("haproxy.yml")) == {"balancer": 0}
    assert site.kubectl("get", "--raw", "/readyz").stdout == "ok"


def backends(config: str) -> dict[str, tuple[str, list[str]]]:
    """Return each frontend's bind and the servers behind it."""
    found: dict[str, tuple[str, list[str]]] = {}
    binds: dict[str, str] = {}
    section = ("", "")
    for line in config.splitlines():
        words = line.split()
        if line and not line[0].isspace():
            section = (words[0], words[-1])
        elif words[:1] == ["bind"]:
            binds[section[1]] = words[1]
        elif words[:1] == ["server"]:
            found.setdefault(section[1], (binds[section[1]], []))[1].append(words[2])
    return found


def test_each_cluster_gets_a_frontend_that_haproxy_accepts(site: Site) -> None:
    assert changed(site.render(HOSTS)) == {"balancer": 1}

    config = site.lab.ssh(BALANCER, f"sudo cat {RENDERED}")
    assert backends(config) == {
        "k8s-tools": ("*:6443", ["192.168.1.15:6443"]),
        "k8s-home": ("*:6444", ["192.168.1.16:6443"]),
        "ha": ("*:6445", ["192.168.1.17:6443", "192.168.1.18:7443"]),
    }
    assert "bind 127.0.0.1:8404" in config
    assert "stats admin" not in config
    checked = site.lab.ssh(BALANCER, f"sudo haproxy -c -f {RENDERED} 2>&1")
    assert "WARNING" not in checked

    assert changed(site.render(HOSTS)) == {"balancer": 0}


@pytest.mark.parametrize("port", [6443, 8404], ids=["another cluster's port", "the statistics'"])
def test_two_clusters_on_one_port_are_refused(site: Site, port: int) -> None:
    before = site.lab.ssh(BALANCER, f"sudo cat {RENDERED}")
    clash = {**HOSTS, "k8s-home": {**HOSTS["k8s-home"], "k3s_api_frontend_port": port}}
    done = site.render(clash)
    assert done.returncode != 0
    assert "Give each cluster a k3s_api_frontend_port of its own" in done.stdout + done.stderr
    assert site.lab.ssh(BALANCER, f"sudo cat {RENDERED}") == before


def test_no_cluster_at_all_is_said_and_no_error(site: Site) -> None:
    done = site.render({"k8s-private": HOSTS["k8s-private"]})
    assert done.returncode == 0, done.stdout
    assert "No cluster has a frontend" in done.stdout
