"""What makes one host ready: its key pinned, ssh with that key, and cloud-init at its end.

The key comes from the guest agent where the VM has one, over Proxmox's verified connection; else
the first one that ssh offers is trusted, with a warning. A pin is replaced only where the VM is
fresh and its agent vouches for the new key.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from stackyard.proxmox.client import Client
from stackyard.proxmox.errors import ApiError, ConnectionFailedError
from stackyard.run.errors import NotYetError, ReadyError
from stackyard.run.hostkey import HostKey
from stackyard.run.knownhosts import KnownHosts, Pin
from stackyard.run.ssh import OtherKeyError, can_check, cloud_init_status, offered_key
from stackyard.run.target import Target

HOST_KEY_FILE = "/etc/ssh/ssh_host_ed25519_key.pub"
_DENIED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_STATUS = re.compile(r"^status:\s*(.+?)\s*$", re.MULTILINE)
_EXTENDED = re.compile(r"^extended_status:\s*(.+?)\s*$", re.MULTILINE)

AgentKey = Callable[[Target], HostKey]
Note = Callable[[str], None]


def agent_key(client: Client) -> AgentKey:
    """Return a function that asks a VM's guest agent for its host key.

    GET /nodes/{node}/qemu/{vmid}/agent/file-read; the text is in `content`.
    """

    def read(target: Target) -> HostKey:
        path = f"/nodes/{target.node}/qemu/{target.vmid}/agent/file-read"
        try:
            answer = client.get(path, file=HOST_KEY_FILE)
            return HostKey.parse(str(answer["content"]))
        except ApiError as error:
            if error.status in _DENIED:
                raise ReadyError(str(error)) from error
            raise NotYetError(
                f"no host key from the guest agent: {error.reason} (a guest without one needs "
                "agent: 0)"
            ) from error
        except ConnectionFailedError as error:
            raise NotYetError(str(error)) from error
        except ValueError as error:
            raise NotYetError(f"the guest agent's {HOST_KEY_FILE} holds {error}") from error

    return read


@dataclass(frozen=True, slots=True)
class Probe:
    """Looks at a host once; `note` is told what a person should know."""

    known_hosts: KnownHosts
    agent_key: AgentKey
    key_file: Path | None = None

    def __call__(self, target: Target, note: Note) -> None:
        """Return if the host is ready.

        Raises:
            NotYetError: it is not, yet.
            ReadyError: it will not be by waiting.
        """
        pins = self._checkable(self._pinned(target, note))
        try:
            keys = [pin.key for pin in pins]
            proved, status = cloud_init_status(target, keys, self.key_file)
        except OtherKeyError as error:
            if target.is_fresh and target.has_agent:
                raise NotYetError("ssh offers another host key than the guest agent") from error
            raise self._differs(target, pins, error.offered) from error
        self._refuse_revoked(proved)
        # No key that was not proved: an old pin would come back under the other name.
        self.known_hosts.pin(target.known_names, proved)
        _check_cloud_init(target, status, note)

    def _checkable(self, pins: tuple[Pin, ...]) -> tuple[Pin, ...]:
        """Leave out keys that cannot be checked; ssh itself may know their types."""
        found = tuple(pin for pin in pins if can_check(pin.key))
        if not found:
            raise ReadyError(
                f"{self.known_hosts.path}:{pins[0].line} has a key of it that cannot be checked "
                f"({pins[0].key.type}): put its ssh-ed25519 key there"
            )
        return found

    def _pinned(self, target: Target, note: Note) -> tuple[Pin, ...]:
        """Return the pins of a host, made or renewed where that is safe."""
        by_address, by_name = map(self.known_hosts.pins, target.known_names)
        if target.has_agent and (target.is_fresh or not (by_address or by_name)):
            return self._pin_agents(target, (*by_address, *by_name), note)
        if not by_address and not by_name:
            key = offered_key(target)
            self._refuse_revoked(key)
            note(
                f"its host key {key.fingerprint} is trusted on first use: compare it with "
                f"`ssh-keygen -lf {HOST_KEY_FILE}` on the VM, or give the VM a guest agent"
            )
            self.known_hosts.pin(target.known_names, key)
            return self.known_hosts.pins(target.known_names[0])
        self._agree(target, by_address, by_name)
        return by_address or by_name

    def _pin_agents(self, target: Target, old: tuple[Pin, ...], note: Note) -> tuple[Pin, ...]:
        key = self.agent_key(target)
        self._refuse_revoked(key)
        stale = [pin for pin in old if pin.key != key]
        if stale:
            note(
                f"it is new, so its host key {key.fingerprint} took the place of the pinned "
                f"{', '.join(dict.fromkeys(pin.key.fingerprint for pin in stale))}"
            )
        self.known_hosts.pin(target.known_names, key, replace=bool(stale))
        return self.known_hosts.pins(target.known_names[0])

    def _refuse_revoked(self, key: HostKey) -> None:
        """Refuse a key that ssh refuses, too; a template's goes when cloud-init makes new ones."""
        line = self.known_hosts.revokes(key)
        if line:
            raise NotYetError(
                f"its host key {key.fingerprint} is revoked ({self.known_hosts.path}:{line})"
            )

    def _agree(self, target: Target, by_address: tuple[Pin, ...], by_name: tuple[Pin, ...]) -> None:
        """Refuse pins that contradict each other."""
        keys = {pin.key for pin in by_address} & {pin.key for pin in by_name}
        if by_address and by_name and not keys:
            raise ReadyError(
                f"{self.known_hosts.path} has different host keys for {target.name} (line "
                f"{by_name[0].line}) and for its address {target.address} (line "
                f"{by_address[0].line}): remove the line that is not true any more"
            )

    def _differs(self, target: Target, pins: tuple[Pin, ...], offered: HostKey) -> ReadyError:
        pinned = pins[0]
        return ReadyError(
            f"its host key is not the pinned one ({self.known_hosts.path}:{pinned.line} has "
            f"{pinned.key.fingerprint}, {target.address} offers {offered.fingerprint}): somebody "
            "may be in between; if the VM was made anew, remove that line"
        )


def _check_cloud_init(target: Target, answer: str | None, note: Note) -> None:
    """Read `cloud-init status --long`.

    See https://docs.cloud-init.io/en/latest/explanation/return_codes.html.
    """
    if answer is None:
        return
    found = _STATUS.search(answer)
    extended = _EXTENDED.search(answer)
    status = found[1] if found else ""
    if status == "error":
        raise ReadyError(
            f"cloud-init ended with an error: see `cloud-init status --long` and "
            f"/var/log/cloud-init.log on {target.name}"
        )
    if status.startswith("degraded") or (extended and "degraded" in extended[1]):
        note("cloud-init recovered from errors: see `cloud-init status --long` on it")
        return
    if status not in ("done", "disabled"):
        raise NotYetError(f"cloud-init is not done (status: {status or 'unknown'})")
