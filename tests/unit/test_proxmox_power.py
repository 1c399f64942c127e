"""Switching the power of a VM: how long it is waited for, by a clock of its own."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stackyard.plan.values import Action, Shutdown
from stackyard.proxmox import pauses
from stackyard.proxmox.carrier import Carrier
from stackyard.proxmox.client import Client
from stackyard.proxmox.halt import Halt
from stackyard.proxmox.jobs import Jobs

FORCED_AFTER = 150.0  # seconds: the guest's time, and the cluster's own rounds around it


class DeafGuest:
    """A VM kept by the cluster, whose guest heeds no shutdown: it is stopped by force at last.

    It is the client and the jobs of whoever asks for it.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def run(self, _what: str, begin: Callable[[], Any]) -> str:
        begin()
        return "OK"

    def pause(self, seconds: float) -> None:
        self.seconds += seconds

    def repeat(self, *_request: object, **_form: object) -> str:
        return "UPID:node01:00000001:00000002:6B0401D6:hastop:100:root@pam!stackyard:"

    def get(self, _path: str) -> dict[str, str]:
        return {"status": "running" if self.seconds < FORCED_AFTER else "stopped"}


def test_the_cluster_has_the_time_of_the_guest_to_stop_a_vm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guest = DeafGuest()
    monkeypatch.setattr(pauses, "time", SimpleNamespace(monotonic=lambda: guest.seconds))
    action = Action("web", "node01", 100, "update", (Shutdown(),), "")
    carrier = Carrier(cast(Client, guest), cast(Jobs, guest), action, Halt())

    carrier.carry_out(Shutdown())

    assert guest.get("")["status"] == "stopped"
