"""One look at a host by ssh: the key it offers, and what cloud-init says once we are in."""

import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import paramiko
from paramiko.pkey import UnknownKeyType

from stackyard.inventory.build import known_as
from stackyard.run.errors import NotYetError, ReadyError
from stackyard.run.hostkey import HostKey
from stackyard.run.target import Target

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
# --long tells of errors that cloud-init recovered from; the exit code does so since 23.4 only.
_COMMAND = "cloud-init status --long"
_NOT_FOUND = 127

Seen = tuple[HostKey, str | None]  # the host's key, and what cloud-init says

# A host that is still booting is no news, and paramiko logs it with tracebacks.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class OtherKeyError(Exception):
    """The host proved to have another key than the pinned ones."""

    def __init__(self, offered: HostKey) -> None:
        super().__init__(offered.fingerprint)
        self.offered = offered


def own_key(environ: Mapping[str, str]) -> Path | None:
    """Return the private key that ANSIBLE_PRIVATE_KEY_FILE names, as Ansible will use it.

    Raises:
        ReadyError: it cannot be read.
    """
    name = environ.get("ANSIBLE_PRIVATE_KEY_FILE")
    if not name:
        return None
    path = Path(name)
    with suppress(RuntimeError):  # a ~ of nobody's is a name like any other, for Ansible too
        path = path.expanduser()
    if not os.access(path, os.R_OK) or path.is_dir():  # a folder that may not be searched raises
        raise ReadyError(f"ANSIBLE_PRIVATE_KEY_FILE names {path}, which cannot be read")
    return path


def can_check(key: HostKey) -> bool:
    """Tell whether we can compare a host's key with this one, or do not know its type or form."""
    try:
        _public(key)
    except (UnknownKeyType, paramiko.SSHException, ValueError, OverflowError):
        return False
    return True


def offered_key(target: Target) -> HostKey:
    """Ask a host for its key, ed25519 if it has one, without logging in.

    Raises:
        NotYetError: ssh does not answer.
    """
    with _explained(), _socket(target) as connection:
        transport = paramiko.Transport(connection)
        try:
            options = transport.get_security_options()
            others = [name for name in options.key_types if name != "ssh-ed25519"]
            options.key_types = ["ssh-ed25519", *others]
            transport.start_client(timeout=ANSWER_SECONDS)
            key = transport.get_remote_server_key()
        finally:
            transport.close()
    return _host_key(key)


def cloud_init_status(target: Target, keys: Sequence[HostKey], key_file: Path | None) -> Seen:
    """Log in where the host has one of these keys; return it and what cloud-init says of itself.

    None: there is no cloud-init. Keys of the ssh agent, and without a key file the usual ones in
    ~/.ssh, are tried too. The host's keys must be such that we `can_check`.

    Raises:
        NotYetError: ssh does not answer, or does not let us in yet.
        ReadyError: our own key cannot be used.
        OtherKeyError: the host has another key.
    """
    try:
        return _status(target, keys, key_file)
    except OtherKeyError as error:
        if error.offered not in keys or len(keys) == 1:
            raise
        return _status(target, [error.offered], key_file)  # paramiko keeps one key of each type


def _status(target: Target, keys: Sequence[HostKey], key_file: Path | None) -> Seen:
    with _explained(target.user), _socket(target) as connection, paramiko.SSHClient() as client:
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        for key in keys:
            name = known_as(target.address, target.port)
            client.get_host_keys().add(name, key.type, _public(key))
        client.connect(
            target.address,
            target.port,
            username=target.user,
            key_filename=str(key_file) if key_file else None,
            look_for_keys=key_file is None,
            sock=connection,
            banner_timeout=ANSWER_SECONDS,
            auth_timeout=ANSWER_SECONDS,
            channel_timeout=ANSWER_SECONDS,
        )
        transport: Any = client.get_transport()
        return _host_key(transport.get_remote_server_key()), _ask(client)


def _ask(client: paramiko.SSHClient) -> str | None:
    _stdin, stdout, _stderr = client.exec_command(_COMMAND, timeout=ANSWER_SECONDS)
    answer = stdout.read().decode(errors="replace")
    if not stdout.channel.status_event.wait(ANSWER_SECONDS):
        raise NotYetError("cloud-init does not say how it is")
    return None if stdout.channel.exit_status == _NOT_FOUND else answer


def _socket(target: Target) -> socket.socket:
    try:
        return socket.create_connection((target.address, target.port), timeout=CONNECT_SECONDS)
    except ValueError as error:  # IDNA refuses it, as a label of more than 63 characters
        address = ascii(target.address)
        raise ReadyError(f"its address {address} is none, and no name of a host") from error


@contextmanager
def _explained(user: str | None = None) -> Iterator[None]:
    """Turn paramiko's and the system's exceptions into reasons."""
    try:
        yield
    except paramiko.BadHostKeyException as error:
        raise OtherKeyError(_host_key(error.key)) from error
    except paramiko.PasswordRequiredException as error:
        raise ReadyError("our ssh key has a passphrase: load it into ssh-agent") from error
    except paramiko.AuthenticationException as error:
        raise NotYetError(f"ssh does not accept our key for user {user or '(ours)'}") from error
    except TimeoutError as error:
        raise NotYetError("ssh does not answer in time") from error
    except OSError as error:
        raise NotYetError(f"no ssh yet: {error.strerror or error}") from error
    except (paramiko.SSHException, EOFError) as error:
        raise NotYetError(f"no ssh yet: {error or 'the connection was closed'}") from error


def _public(key: HostKey) -> paramiko.PKey:
    return paramiko.PKey.from_type_string(key.type, key.raw)


def _host_key(key: paramiko.PKey) -> HostKey:
    return HostKey(key.get_name(), key.get_base64())
