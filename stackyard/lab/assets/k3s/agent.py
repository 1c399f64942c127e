"""`k3s agent`: joins a server by its token and stays one of its nodes."""

import os
import threading
from pathlib import Path

from . import host, join, log, nodes, tokens
from .flags import Flags
from .log import FatalError
from .version import BUILD, VERSION

RETRY_SECONDS = 5.0


def run(flags: Flags, stop: threading.Event) -> None:
    """Join, tell systemd, send heartbeats; a server that refuses is asked again and again."""
    if os.getuid() != 0 and not flags.switch("rootless"):
        raise FatalError("agent must be run as root, or with --rootless")
    file, text = flags.text("token-file"), flags.text("token")
    if not (file or text):
        raise FatalError("--token is required")
    if not flags.text("server"):
        raise FatalError("--server is required")
    token = tokens.parse(Path(file).read_text(encoding="utf-8").strip() if file else text)
    record = nodes.describe(
        host.node_name(flags.text("node-name")),
        host.node_addresses(flags.several("node-ip")),
        flags.several("node-label"),
        control_plane=False,
    )
    log.info(f"Starting k3s agent {VERSION} ({BUILD})")
    server = _joined(flags.text("server"), token, stop)
    while server and not stop.is_set():
        try:
            server.register(record)
            host.notify_ready()
        except OSError as error:
            log.warning(f"Failed to update node status on {server.url}: {error}")
        stop.wait(nodes.HEARTBEAT_SECONDS)


def _joined(url: str, token: tokens.Token, stop: threading.Event) -> join.Joined | None:
    while not stop.is_set():
        try:
            return join.verify(url, token)
        except FatalError as refusal:
            log.warning(f"Waiting to retrieve agent configuration; server is not ready: {refusal}")
            stop.wait(RETRY_SECONDS)
    return None
