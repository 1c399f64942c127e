"""A small ssh server on 127.0.0.1 that says what a test wants of cloud-init."""

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from stackyard.run.hostkey import HostKey


def new_key(path: Path) -> paramiko.Ed25519Key:
    path.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
    return paramiko.Ed25519Key.from_private_key_file(str(path))


@dataclass
class SshServer:
    """Answers until it is stopped; what it says may be changed while it runs."""

    host_key: paramiko.PKey
    allowed: paramiko.PKey
    answer: str = "status: done\n"
    exit_code: int = 0
    users: set[str] = field(default_factory=set)
    commands: list[str] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self.port = self._socket.getsockname()[1]
        self._stopping = False
        self._transports: list[paramiko.Transport] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def key(self) -> HostKey:
        return HostKey(self.host_key.get_name(), self.host_key.get_base64())

    def _serve(self) -> None:
        while not self._stopping:
            with suppress(OSError):
                connection, _peer = self._socket.accept()
                if self._stopping:
                    connection.close()
                    return
                transport = paramiko.Transport(connection)
                transport.add_server_key(self.host_key)
                self._transports.append(transport)
                with suppress(paramiko.SSHException, EOFError):
                    transport.start_server(event=threading.Event(), server=_Session(self))

    def stop(self) -> None:
        self._stopping = True
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            pass
        self._thread.join(5)
        self._socket.close()
        for transport in self._transports:
            transport.close()
            transport.join(5)


class _Session(paramiko.ServerInterface):
    def __init__(self, server: SshServer) -> None:
        self._server = server

    def get_allowed_auths(self, username: str) -> str:
        self._server.users.add(username)
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self._server.users.add(username)
        good = key == self._server.allowed
        return AUTH_SUCCESSFUL if good else AUTH_FAILED

    def check_channel_request(self, _kind: str, _chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self._server.commands.append(command.decode())

        def answer() -> None:
            with suppress(OSError):
                channel.sendall(self._server.answer.encode())
                channel.send_exit_status(self._server.exit_code)
                channel.shutdown_write()
                # Not closed before the client's end: a close may overtake the reply to its request.
                channel.recv(1)
                channel.close()

        threading.Thread(target=answer, daemon=True).start()
        return True
