"""The K3s stand-in on this machine's loopback, judged by a real kubectl and by K3s's contracts."""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from stackyard.lab import standins

VERSION = "v1.33.5+k3s1"
KUBECTL = Path(sys.executable).with_name("kubectl")
WITHIN_SECONDS = 20.0
# A node's age, with the padding that depends on it: it grows between two commands.
AGE = re.compile(r" +(AGE|\d+[smhd][\dsmhd]*) +")

pytestmark = [
    pytest.mark.skipif(not KUBECTL.exists(), reason="kubectl is not installed in this environment"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(check: Callable[[], bool]) -> None:
    """Wait until something holds; the assertion tells when it never did."""
    end = time.monotonic() + WITHIN_SECONDS
    while not check():
        assert time.monotonic() < end, f"not within {WITHIN_SECONDS} s"
        time.sleep(0.1)


@dataclass
class Cluster:
    """One server of the stand-in, with files and a port of its own."""

    k3s: Path
    folder: Path
    port: int = field(default_factory=free_port)
    settings: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "k3s.yaml"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def configure(self, **more: Any) -> dict[str, str]:
        """Write config.yaml; return the environment that points at it."""
        config = {
            "https-listen-port": self.port,
            "data-dir": str(self.data),
            "write-kubeconfig": str(self.kubeconfig),
            "node-ip": "127.0.0.1",
            "node-name": "k8s-test",
            "rootless": os.getuid() != 0,
            **self.settings,
            **more,
        }
        self.folder.mkdir(exist_ok=True)
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        return {**os.environ, "K3S_CONFIG_FILE": str(path), "KUBECONFIG": str(self.kubeconfig)}

    def start(self, **more: Any) -> None:
        """Start the server and wait for it as a role does."""
        self.settings.update(more)
        environ = self.configure()
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([self.k3s, "server"], env=environ, stderr=log)
        eventually(lambda: self.own_kubectl("get", "--raw", "/readyz").returncode == 0)

    def stop(self) -> int:
        """Stop it as systemd does; return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WITHIN_SECONDS)

    def run(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run one command of the stand-in that is expected to end."""
        return subprocess.run(
            [self.k3s, *words], env=self.configure(**more), capture_output=True, text=True,
            timeout=WITHIN_SECONDS, check=False,
        )  # fmt: skip

    def own_kubectl(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run("kubectl", *words)

    def kubectl(self, *words: str) -> str:
        """Run the real kubectl against it."""
        command = [str(KUBECTL), "--kubeconfig", str(self.kubeconfig), *words]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=WITHIN_SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def nodes(self) -> dict[str, Any]:
        """Return the nodes by name, as the real kubectl gets them."""
        items = json.loads(self.kubectl("get", "nodes", "-o", "json"))["items"]
        return {item["metadata"]["name"]: item for item in items}


def ready(node: dict[str, Any]) -> str:
    status: dict[str, str] = {one["type"]: one["status"] for one in node["status"]["conditions"]}
    return status["Ready"]


@pytest.fixture(scope="module")
def k3s(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bin") / "k3s"
    path.write_bytes(standins.k3s(VERSION))
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def cluster(k3s: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running server that tests only ask."""
    one = Cluster(k3s, tmp_path_factory.mktemp("cluster"))
    one.start(**{"tls-san": ["192.168.1.4", "api.example"]})
    yield one
    one.stop()


@pytest.fixture
def own(k3s: Path, tmp_path: Path) -> Iterator[Cluster]:
    """A server that a test may start, stop and break."""
    one = Cluster(k3s, tmp_path / "own")
    yield one
    if one.process is not None and one.process.poll() is None:
        one.stop()


def anonymous(url: str) -> tuple[int, bytes]:
    """Ask without a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.netloc, context=context, timeout=WITHIN_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", parts.path)
        response = connection.getresponse()
        return response.status, response.read()


def test_says_its_version_as_k3s_does(k3s: Path) -> None:
    said = subprocess.run([k3s, "--version"], capture_output=True, text=True, check=True).stdout

    assert said.splitlines()[0] == f"k3s version {VERSION} (stand-in)"


def test_the_same_version_has_the_same_checksum() -> None:
    assert standins.k3s(VERSION) == standins.k3s(VERSION)
    assert standins.k3s(VERSION) != standins.k3s("v1.34.0+k3s1")


def test_real_kubectl_lists_a_ready_node_with_the_release(cluster: Cluster) -> None:
    eventually(lambda: ready(cluster.nodes()["k8s-test"]) == "True")

    node = cluster.nodes()["k8s-test"]
    assert node["status"]["nodeInfo"]["kubeletVersion"] == VERSION
    assert {"type": "InternalIP", "address": "127.0.0.1"} in node["status"]["addresses"]

    header, row = cluster.kubectl("get", "nodes", "-o", "wide").splitlines()
    assert header.split()[:6] == ["NAME", "STATUS", "ROLES", "AGE", "VERSION", "INTERNAL-IP"]
    assert row.split()[:3] == ["k8s-test", "Ready", "control-plane,master"]


def test_real_kubectl_waits_watches_and_selects(cluster: Cluster) -> None:
    cluster.kubectl("wait", "--for=condition=Ready", "node/k8s-test", "--timeout=10s")
    label = "node-role.kubernetes.io/control-plane"

    assert cluster.kubectl("get", "nodes", "-l", label, "-o", "name") == "node/k8s-test\n"
    assert cluster.kubectl("get", "nodes", "-l", f"!{label}", "-o", "name") == ""
    event = cluster.kubectl("get", "--raw", "/api/v1/nodes?watch=true&timeoutSeconds=1")
    assert json.loads(event)["type"] == "ADDED"


def test_real_kubectl_sees_health_version_namespaces_and_no_pods(cluster: Cluster) -> None:
    assert cluster.kubectl("get", "--raw", "/readyz") == "ok"
    assert json.loads(cluster.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"] == (
        VERSION
    )
    assert "namespace/kube-system" in cluster.kubectl("get", "namespaces", "-o", "name")
    assert json.loads(cluster.kubectl("get", "pods", "-A", "-o", "json"))["items"] == []


@pytest.mark.parametrize("path", ["/readyz", "/livez", "/version", "/api/v1/nodes"])
def test_who_shows_no_certificate_gets_401(cluster: Cluster, path: str) -> None:
    status, body = anonymous(cluster.url + path)

    assert status == 401
    assert json.loads(body)["reason"] == "Unauthorized"


def test_a_certificate_of_another_cluster_is_refused(cluster: Cluster, own: Cluster) -> None:
    own.start()
    foreign = yaml.safe_load(own.kubeconfig.read_text())
    target = yaml.safe_load(cluster.kubeconfig.read_text())
    foreign["clusters"] = target["clusters"]
    own.kubeconfig.write_text(yaml.safe_dump(foreign))

    with pytest.raises(AssertionError, match=r"(?i)tls|certificate"):
        own.kubectl("get", "nodes")


def test_writes_the_files_that_roles_read(cluster: Cluster) -> None:
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    assert stat.S_IMODE(cluster.kubeconfig.stat().st_mode) == 0o600
    assert document["clusters"][0]["cluster"]["server"] == cluster.url
    assert {document[kind][0]["name"] for kind in ("clusters", "contexts", "users")} == {"default"}

    token = cluster.data / "server/token"
    authority = base64.b64decode(document["clusters"][0]["cluster"]["certificate-authority-data"])
    expected = f"K10{hashlib.sha256(authority).hexdigest()}::server:"
    assert re.fullmatch(re.escape(expected) + r"\S+\n", token.read_text())
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert (cluster.data / "server/node-token").read_text() == token.read_text()
    assert anonymous(f"{cluster.url}/cacerts") == (200, authority)


def test_the_certificate_names_all_its_addresses(cluster: Cluster) -> None:
    authority = (cluster.data / "server/tls/server-ca.crt").read_text()
    context = ssl.create_default_context(cadata=authority)
    for name in ("127.0.0.1", "192.168.1.4", "api.example", "k8s-test", "kubernetes.default.svc"):
        with (
            socket.create_connection(("127.0.0.1", cluster.port), WITHIN_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=name),
        ):
            pass


def test_tells_systemd_once_the_api_answers(own: Cluster, tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(WITHIN_SECONDS)
        environ = {**own.configure(), "NOTIFY_SOCKET": address}
        own.process = subprocess.Popen([own.k3s, "server"], env=environ, stderr=subprocess.DEVNULL)
        assert systemd.recv(64) == b"READY=1\n"
    assert own.own_kubectl("get", "--raw", "/readyz").stdout == "ok"


def test_a_restart_keeps_identity_and_takes_new_names(own: Cluster) -> None:
    own.start()
    before = own.kubeconfig.read_bytes(), (own.data / "server/token").read_bytes()
    uid = own.nodes()["k8s-test"]["metadata"]["uid"]
    assert own.stop() == 0

    own.start(**{"tls-san": ["later.example"]})

    assert (own.kubeconfig.read_bytes(), (own.data / "server/token").read_bytes()) == before
    assert own.nodes()["k8s-test"]["metadata"]["uid"] == uid
    authority = (own.data / "server/tls/server-ca.crt").read_text()
    with (
        socket.create_connection(("127.0.0.1", own.port), WITHIN_SECONDS) as plain,
        ssl.create_default_context(cadata=authority).wrap_socket(
            plain, server_hostname="later.example"
        ),
    ):
        pass


def test_refuses_another_token_than_its_first(own: Cluster) -> None:
    own.start(token="first-password")
    own.stop()

    done = own.run("server", token="second-password")

    assert done.returncode == 1
    assert "encrypted with different token" in done.stderr
    assert "password" not in done.stderr


def test_agents_join_with_the_token_only(own: Cluster) -> None:
    own.start()
    token = (own.data / "server/node-token").read_text().strip()
    wrong = {
        "password": re.sub(r":[^:]+$", ":nope", token),
        "authority": token[:3] + "0" * 64 + token[67:],
    }
    environ = {**own.configure(), "K3S_CONFIG_FILE": str(own.folder / "none.yaml")}
    logs = {name: own.folder / name for name in ("good", *wrong)}
    agents = []
    for name, path in logs.items():
        words = ["agent", "--server", own.url, "--token", {"good": token, **wrong}[name]]
        words += ["--node-name", name, "--node-ip", "127.0.0.1"]
        words += ["--rootless"] if os.getuid() != 0 else []
        with path.open("wb") as log:
            agents.append(subprocess.Popen([own.k3s, *words], env=environ, stderr=log))
    try:
        eventually(lambda: set(own.nodes()) == {"k8s-test", "good"})
        eventually(lambda: ready(own.nodes()["good"]) == "True")
        eventually(lambda: "401 Unauthorized" in logs["password"].read_text())
        eventually(lambda: "token CA hash does not match" in logs["authority"].read_text())
        assert set(own.nodes()) == {"k8s-test", "good"}
    finally:
        for agent in agents:
            agent.terminate()
        for agent in agents:
            agent.wait(WITHIN_SECONDS)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"cluster-init": True, "server": "https://127.0.0.1:1"}, "--cluster-init and --server"),
        ({"tls-sans": ["typo"]}, "flag provided but not defined: -tls-sans"),
        ({"service-cidr": "10.43.0.0/99"}, "invalid service-cidr 10.43.0.0/99"),
        ({"write-kubeconfig-mode": "rw"}, "invalid syntax"),
        ({"node-ip": "nowhere"}, "invalid ip nowhere"),
        ({"cluster-init": "perhaps", "server": "https://127.0.0.1:1"}, "invalid boolean value"),
    ],
)
def test_refuses_what_k3s_refuses(own: Cluster, settings: dict[str, Any], reason: str) -> None:
    done = own.run("server", **settings)

    assert done.returncode == 1
    assert reason in done.stderr


def test_a_second_server_needs_the_right_token(cluster: Cluster, own: Cluster) -> None:
    done = own.run("server", server=cluster.url, token="nope")

    assert done.returncode == 1
    assert "401 Unauthorized" in done.stderr


def test_refuses_a_port_in_use(cluster: Cluster, own: Cluster) -> None:
    done = own.run("server", **{"https-listen-port": cluster.port})

    assert done.returncode == 1
    assert "address already in use" in done.stderr


def test_an_octal_mode_without_quotes_is_a_trap_as_in_k3s(own: Cluster) -> None:
    own.configure()
    with (own.folder / "config.yaml").open("a") as file:
        file.write("write-kubeconfig-mode: 0600\n")
    environ = {**os.environ, "K3S_CONFIG_FILE": str(own.folder / "config.yaml")}
    done = subprocess.run(
        [own.k3s, "server"], env=environ, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert 'parsing \\"384\\"' in done.stderr


def test_its_own_kubectl_answers_as_a_role_needs_it(cluster: Cluster) -> None:
    assert cluster.own_kubectl("get", "--raw", "/readyz").stdout == "ok"
    item = json.loads(cluster.own_kubectl("get", "node", "k8s-test", "-o", "json").stdout)
    assert item["status"]["nodeInfo"]["kubeletVersion"] == VERSION
    own, real = cluster.own_kubectl("get", "nodes").stdout, cluster.kubectl("get", "nodes")
    assert AGE.sub("   AGE   ", own) == AGE.sub("   AGE   ", real)
    missing = cluster.own_kubectl("get", "node", "nobody")
    assert missing.returncode == 1
    assert missing.stderr == 'Error from server (NotFound): nodes "nobody" not found\n'


def test_its_own_kubectl_says_when_the_api_is_down(own: Cluster) -> None:
    own.start()
    own.stop()

    done = own.own_kubectl("get", "nodes")

    assert done.returncode == 1
    assert "was refused" in done.stderr


def test_shows_no_secret(cluster: Cluster) -> None:
    password = (cluster.data / "server/token").read_text().strip().rpartition(":")[2]

    assert password not in cluster.log
    for path in cluster.data.rglob("*"):
        if path.is_file() and not path.is_symlink() and password in path.read_text():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for key in cluster.data.rglob("*.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
