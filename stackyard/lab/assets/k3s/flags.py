"""The flags of `k3s server` and `k3s agent`, from the command line, the environment and a file.

The names are those of K3s 1.33. A name that K3s does not know ends the program; on a server K3s
itself only warns about unknown keys of config.yaml and goes on without them, here they are refused
as well, because a role that writes such a key believes in something that does not happen.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from . import configfile
from .log import FatalError

DEFAULT_CONFIG = "/etc/rancher/k3s/config.yaml"

ALIASES = {
    "c": "config", "d": "data-dir", "t": "token", "s": "server", "i": "node-ip", "v": "v",
    "o": "write-kubeconfig",
}  # fmt: skip


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SWITCHES = _words(
    """
    alsologtostderr cluster-init cluster-reset debug disable-agent disable-apiserver
    disable-cloud-controller disable-controller-manager disable-default-registry-endpoint
    disable-etcd disable-helm-controller disable-kube-proxy disable-network-policy
    disable-scheduler docker embedded-registry enable-pprof etcd-disable-snapshots
    etcd-expose-metrics etcd-s3 etcd-s3-insecure etcd-s3-skip-ssl-verify etcd-snapshot-compress
    flannel-external-ip flannel-ipv6-masq multi-cluster-cidr prefer-bundled-bin
    protect-kernel-defaults rootless secrets-encryption selinux tls-san-security with-node-id
    """
)

SHARED = _words(
    """
    alsologtostderr config container-runtime-endpoint data-dir debug default-runtime
    disable-apiserver-lb disable-default-registry-endpoint docker flannel-cni-conf flannel-conf
    flannel-iface image-credential-provider-bin-dir image-credential-provider-config
    image-service-endpoint kube-proxy-arg kubelet-arg lb-server-port log node-external-dns
    node-external-ip node-internal-dns node-ip node-label node-name node-taint nonroot-devices
    pause-image prefer-bundled-bin private-registry protect-kernel-defaults resolv-conf rootless
    selinux server snapshotter token token-file v vmodule vpn-auth vpn-auth-file with-node-id
    airgap-extra-registry
    """
)

SERVER = SHARED | _words(
    """
    advertise-address advertise-port agent-token agent-token-file bind-address cluster-cidr
    cluster-dns cluster-domain cluster-init cluster-reset cluster-reset-restore-path
    datastore-cafile datastore-certfile datastore-endpoint datastore-keyfile
    default-local-storage-path disable disable-agent disable-apiserver disable-cloud-controller
    disable-controller-manager disable-etcd disable-helm-controller disable-kube-proxy
    disable-network-policy disable-scheduler egress-selector-mode embedded-registry enable-pprof
    etcd-arg etcd-disable-snapshots etcd-expose-metrics etcd-s3 etcd-s3-access-key etcd-s3-bucket
    etcd-s3-bucket-lookup-type etcd-s3-config-secret etcd-s3-endpoint etcd-s3-endpoint-ca
    etcd-s3-folder etcd-s3-insecure etcd-s3-proxy etcd-s3-region etcd-s3-retention
    etcd-s3-secret-key etcd-s3-session-token etcd-s3-skip-ssl-verify etcd-s3-timeout
    etcd-snapshot-compress etcd-snapshot-dir etcd-snapshot-name etcd-snapshot-reconcile-interval
    etcd-snapshot-retention etcd-snapshot-schedule-cron flannel-backend flannel-external-ip
    flannel-ipv6-masq helm-job-image https-listen-port kine-tls kube-apiserver-arg
    kube-cloud-controller-manager-arg kube-controller-manager-arg kube-scheduler-arg
    multi-cluster-cidr secrets-encryption secrets-encryption-provider service-cidr
    service-node-port-range servicelb-namespace supervisor-metrics system-default-registry tls-san
    tls-san-security write-kubeconfig write-kubeconfig-group write-kubeconfig-mode
    """
)

FLAGS = {"server": SERVER, "agent": SHARED}

ENVIRONMENT = {
    "K3S_TOKEN": "token",
    "K3S_TOKEN_FILE": "token-file",
    "K3S_URL": "server",
    "K3S_NODE_NAME": "node-name",
    "K3S_DATA_DIR": "data-dir",
    "K3S_KUBECONFIG_OUTPUT": "write-kubeconfig",
    "K3S_KUBECONFIG_MODE": "write-kubeconfig-mode",
    "K3S_CLUSTER_INIT": "cluster-init",
}


class Flags:
    """What a command was told; a flag given several times keeps all its values."""

    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        self._values = values

    def text(self, name: str, default: str = "") -> str:
        """Return the last value of a flag."""
        return (self._values.get(name) or [default])[-1]

    def several(self, name: str) -> list[str]:
        """Return all values of a flag; commas separate values too."""
        parts = [part.strip() for value in self._values.get(name, ()) for part in value.split(",")]
        return [part for part in parts if part]

    def switch(self, name: str) -> bool:
        """Whether a switch is on."""
        text = self.text(name, "false").lower()
        if text not in ("true", "false", "1", "0", "t", "f"):
            raise FatalError(f'invalid boolean value "{text}" for  -{name}: parse error')
        return text in ("true", "1", "t")

    def number(self, name: str, default: int) -> int:
        """Return a flag that is a whole number."""
        text = self.text(name, str(default))
        if not text.isdecimal():
            raise FatalError(f'invalid value "{text}" for flag -{name}: parse error')
        return int(text)


def parse(command: str, argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> Flags:
    """Return the flags of a command: environment below file below command line."""
    known = FLAGS[command]
    given = _from_command_line(known, argv)
    values: dict[str, list[str]] = {
        flag: [environ[name]] for name, flag in ENVIRONMENT.items() if environ.get(name)
    }
    values = {flag: value for flag, value in values.items() if flag in known}
    explicit = environ.get("K3S_CONFIG_FILE") or (given.get("config") or [""])[-1]
    _overlay(values, _from_files(known, Path(explicit or DEFAULT_CONFIG)), replace=True)
    _overlay(values, given, replace=False)
    return Flags(values)


def _overlay(
    values: dict[str, list[str]], upper: Mapping[str, list[str]], *, replace: bool
) -> None:
    """Lay flags over others; on the command line they add to what a file listed."""
    for flag, more in upper.items():
        values[flag] = list(more) if replace else [*values.get(flag, ()), *more]


def _from_files(known: frozenset[str], main: Path) -> dict[str, list[str]]:
    """Read config.yaml and config.yaml.d/*.yaml; `key+` adds to what an earlier file said."""
    parts = sorted(Path(f"{main}.d").glob("*.y*ml"))
    values: dict[str, list[str]] = {}
    for path in [*([main] if main.exists() else []), *parts]:
        for key, value in configfile.read(path).items():
            flag = _known(key.removesuffix("+"), known)
            several = value if isinstance(value, list) else [value]
            values[flag] = [*values.get(flag, ()), *several] if key.endswith("+") else several
    return values


def _from_command_line(known: frozenset[str], argv: Sequence[str]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            raise FatalError(f"unexpected argument {word}")
        name, equals, value = word.lstrip("-").partition("=")
        flag = _known(name, known)
        values.setdefault(flag, []).append(value if equals else _following(flag, rest.pop, rest))
    return values


def _following(flag: str, take: Callable[[int], str], rest: Sequence[str]) -> str:
    if flag in SWITCHES:
        return "true"
    if not rest:
        raise FatalError(f"flag needs an argument: -{flag}")
    return take(0)


def _known(name: str, known: frozenset[str]) -> str:
    flag = ALIASES.get(name, name)
    if flag not in known:
        raise FatalError(f"flag provided but not defined: -{name}")
    return flag
