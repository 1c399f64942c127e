"""`k3s server`: lays out the data directory, writes the kubeconfig, serves the API."""

import base64
import ipaddress
import os
import signal
import threading
import time
from pathlib import Path

from . import host, join, log, nodes, pki, tokens
from .api import Api
from .flags import Flags
from .log import FatalError
from .serving import Server
from .version import BUILD, VERSION

DATA = "/var/lib/rancher/k3s"
KUBECONFIG = "/etc/rancher/k3s/k3s.yaml"
DIRECTORIES = ("server/db", "server/manifests", "agent/images", "agent/etc")
CLUSTER_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)

KUBECONFIG_FORM = """\
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {ca}
    server: {server}
  name: default
contexts:
- context:
    cluster: default
    user: default
  name: default
current-context: default
kind: Config
preferences: {{}}
users:
- name: default
  user:
    client-certificate-data: {cert}
    client-key-data: {key}
"""


def run(flags: Flags) -> None:
    """Serve until SIGTERM or SIGINT; FatalError ends the start."""
    _check(flags)
    name = host.node_name(flags.text("node-name"))
    addresses = host.node_addresses(flags.several("node-ip"))
    log.info(f"Starting k3s {VERSION} ({BUILD})")
    data = Path(flags.text("data-dir", DATA))
    made = _lay_out(data)
    files = pki.Pki(data / "server/tls")
    pki.prepare(files, _names(flags, name, addresses), made)
    password = tokens.settle(data / "server", _given_token(flags), pki.ca_hash(files))
    register = nodes.Nodes(data / "server/db/state.json")
    port = flags.number("https-listen-port", 6443)
    server = Server((flags.text("bind-address"), port), Api(register, made), files, password)
    _write_kubeconfig(flags, files, port)
    _note_files(flags, data)
    record = nodes.describe(name, addresses, flags.several("node-label"), control_plane=True)
    stop = stopped_by_signals()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    log.info("Kube API server is now running")
    if not flags.switch("disable-agent"):
        register.register(record)
    host.notify_ready()
    log.info("k3s is up and running")
    while not stop.wait(nodes.HEARTBEAT_SECONDS):
        if not flags.switch("disable-agent"):
            register.register(record)
    server.shutdown()
    server.server_close()


def _check(flags: Flags) -> None:
    if os.getuid() != 0 and not (flags.switch("rootless") or flags.switch("disable-agent")):
        raise FatalError("server must run as root, or with --rootless and/or --disable-agent")
    url = flags.text("server")
    if url and flags.switch("cluster-init"):
        raise FatalError("invalid flag use; --cluster-init and --server are mutually exclusive")
    for flag in ("cluster-cidr", "service-cidr"):
        for cidr in flags.several(flag):
            _check_cidr(flag, cidr)
    if url:
        join.verify(url, tokens.parse(_given_token(flags)))
        raise FatalError("this stand-in has no embedded etcd: a second server cannot join")


def _check_cidr(flag: str, cidr: str) -> None:
    try:
        ipaddress.ip_network(cidr)
    except ValueError:
        raise FatalError(f"invalid {flag} {cidr}: invalid CIDR address: {cidr}") from None


def _given_token(flags: Flags) -> str:
    file = flags.text("token-file")
    if not file:
        return flags.text("token")
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise FatalError(f"open {file}: {error.strerror}") from None


def _lay_out(data: Path) -> int:
    """Make the directories of K3s; return when the cluster was made, in seconds since 1970."""
    for part in DIRECTORIES:
        (data / part).mkdir(parents=True, exist_ok=True)
    for part in ("server", "server/db"):
        (data / part).chmod(0o700)
    mark = data / "server/db/created"
    if not mark.exists():
        tokens.write_private(mark, f"{int(time.time())}\n")
    return int(mark.read_text(encoding="ascii"))


def _names(flags: Flags, name: str, addresses: list[str]) -> list[str]:
    """Return all names and addresses under which the API may be called."""
    services = (flags.several("service-cidr") or ["10.43.0.0/16"])[0]
    first = str(ipaddress.ip_network(services)[1])
    given = [*flags.several("tls-san"), *flags.several("advertise-address")]
    return [*given, "127.0.0.1", "::1", "localhost", name, *addresses, first, *CLUSTER_NAMES]


def _write_kubeconfig(flags: Flags, files: pki.Pki, port: int) -> None:
    text = flags.text("write-kubeconfig-mode", "600")
    try:
        mode = int(text, 8)
    except ValueError:
        raise FatalError(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
    path = Path(flags.text("write-kubeconfig", KUBECONFIG))
    path.parent.mkdir(parents=True, exist_ok=True)
    content = KUBECONFIG_FORM.format(
        ca=_encoded(files.server_ca.cert),
        server=f"https://{flags.text('bind-address', '127.0.0.1')}:{port}",
        cert=_encoded(files.admin.cert),
        key=_encoded(files.admin.key),
    )
    tokens.write_private(path, content, mode)


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")


def _note_files(flags: Flags, data: Path) -> None:
    """Say which files K3s would act on; the stand-in runs nothing."""
    registries = Path(flags.text("private-registry", "/etc/rancher/k3s/registries.yaml"))
    if registries.exists():
        log.info(f"Using private registry config file at {registries}")
    for manifest in sorted((data / "server/manifests").glob("*.y*ml")):
        log.warning(f"Found {manifest}: the stand-in applies no manifests")
    for images in sorted((data / "agent/images").glob("*.tar*")):
        log.warning(f"Found {images}: the stand-in imports no images")


def stopped_by_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
