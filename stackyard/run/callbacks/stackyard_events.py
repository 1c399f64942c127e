"""Ansible callback: what a play does, as JSON lines on the descriptor in STACKYARD_EVENTS_FD.

No result of a module is passed on, for it may hold secrets: of a failure its `msg` alone, and of a
task with `no_log` not even that.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from typing import Any

from ansible import constants
from ansible.plugins.callback import CallbackBase
from ansible.utils.path import cleanup_tmp_file

DOCUMENTATION = """
name: stackyard_events
type: notification
short_description: Writes a play's events as JSON lines
description:
  - One line for each play, task, result of a host, and at the end the numbers of each host.
  - The lines go to the file descriptor that the environment variable STACKYARD_EVENTS_FD names.
requirements:
  - Enabled by C(stackyard run), which reads the other end.
"""

CENSORED = "the reason is hidden by no_log"


class CallbackModule(CallbackBase):  # type: ignore[misc] # ansible has no type information
    """Writes events."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "stackyard_events"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        # An ansible-playbook that a task starts has something of its own at this number.
        descriptor = os.environ.pop("STACKYARD_EVENTS_FD", "")
        if not descriptor.isdigit():
            self.disabled = True
            return
        self._descriptor = int(descriptor)
        self._is_ending = False
        self._unwritten = ""
        for stream in (sys.stdout, sys.stderr):
            for name in ("write", "flush"):
                setattr(stream.buffer, name, self._forgiving(getattr(stream.buffer, name)))
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._end)

    def _forgiving(self, call: Any) -> Any:
        """Let a stream drop what its disk has no room for.

        A thread of Ansible's would die of it, and the play wait for that for ever.
        """

        def forgive(*arguments: Any) -> Any:
            try:
                return call(*arguments)
            except OSError as error:
                self._unwritten = error.strerror or str(error)
                return None

        return forgive

    def _end(self, *_signal: Any) -> None:
        """End the play and its workers, which are in sessions of their own.

        Ansible tells them of no SIGHUP, and of a SIGTERM only if no second one follows at once.
        """
        if self._is_ending:
            return
        self._is_ending = True
        for worker in multiprocessing.active_children():
            worker.terminate()
        cleanup_tmp_file(constants.DEFAULT_LOCAL_TMP)  # as Ansible itself does when it exits
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._write(event="play", play=play.get_name())

    def v2_playbook_on_task_start(self, task: Any, **_more: Any) -> None:
        self._write(event="task", task=task.get_name())

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._write(event="task", task=task.get_name())

    def v2_runner_on_ok(self, result: Any) -> None:
        self._result("changed" if result.is_changed() else "ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._result("ignored" if ignore_errors else "failed", result, _message(result))
        if not ignore_errors:
            self._end_others(_part(result, "task"))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._result("unreachable", result, _message(result))
        self._end_others(_part(result, "task"))

    def v2_playbook_on_no_hosts_remaining(self) -> None:
        self._write(event="cut")

    def _end_others(self, task: Any) -> None:
        # Ansible ends the other hosts in silence, and counts no failure of theirs.
        if task.any_errors_fatal or task.run_once:
            self._write(event="cut")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        hosts = {host: stats.summarize(host) for host in stats.processed}
        self._write(event="stats", hosts=hosts, unwritten=self._unwritten)

    def _result(self, event: str, result: Any, message: str | None = None) -> None:
        task, host = _part(result, "task").get_name(), _part(result, "host").get_name()
        told = {} if message is None else {"msg": message}
        self._write(event=event, host=host, task=task, **told)

    def _write(self, **event: Any) -> None:
        line = json.dumps(event, ensure_ascii=True) + "\n"
        left = line.encode()
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except BrokenPipeError:  # stackyard was killed: its next run may begin this play again
            self._end()


def _part(result: Any, name: str) -> Any:
    """Read `task`, `host` or `result`; ansible-core 2.18 has them with an underscore alone."""
    return getattr(result, name) if hasattr(result, name) else getattr(result, f"_{name}")


def _message(result: Any) -> str:
    """Return a failure's message: of a loop the first failed item's."""
    data = _part(result, "result")
    if "censored" in data or _part(result, "task").no_log is True:
        return CENSORED
    items = [item for item in data.get("results", ()) if isinstance(item, dict)]
    failed = [item for item in items if item.get("failed") or item.get("unreachable")]
    for found in (*failed[:1], data):
        if "censored" in found:
            return CENSORED
        if found.get("msg"):
            return str(found["msg"])
    return "no message"
