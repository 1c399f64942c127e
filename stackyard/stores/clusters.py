"""Asking every cluster of a kubeconfig whether it answers: `kubectl`, several at a time.

kubectl knows each way to log in (certificates, tokens, exec plugins, proxies). It gets the
kubeconfig of one context in memory, so that no credential is written to a disk.
"""

import datetime as dt
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from stackyard.kubeconfig import Kubeconfig, KubeconfigError, dump, select
from stackyard.kubeconfig.validate import days_left, validate
from stackyard.stores.kubectl import GET, NO_KUBERNETES, end_all, kubectl
from stackyard.stores.programs import find_program
from stackyard.stores.protocol import StoreError

AT_ONCE = 16
PROMPT = b"Please enter Username"  # kubectl asks whom the kubeconfig gives nothing to log in with
REASONS = {
    "Unauthorized": "the credentials are refused",
    "Forbidden": "the user may not ask this",
    "x509": "its certificate does not verify",
    "tls:": "its certificate does not verify",
    "failed with exit code": "its exec plugin failed",
    "interactive mode": "its exec plugin wants a terminal",
    "fork/exec": "its exec plugin cannot be run",
    "executable": "its exec plugin cannot be run",
    "exec:": "its exec plugin failed",
    "refused": "nothing listens there",
    "no such host": "its host has no address",
    "no route to host": "there is no way to it",
    "imeout": "no answer in time",
    "deadline exceeded": "no answer in time",
    "EOF": "it cut the connection",
    "could not find the requested resource": NO_KUBERNETES,
}


@dataclass(frozen=True, slots=True)
class Health:
    """What one context answered; `problem` is "" where all is well."""

    context: str
    version: str = ""
    ready: int = 0
    nodes: int = 0
    days: int | None = None  # until the first certificate ends
    problem: str = ""

    @property
    def reachable(self) -> bool:
        """Tell whether the API answered at all."""
        return bool(self.version)


def verify(
    document: Kubeconfig,
    contexts: Sequence[str],
    environ: Mapping[str, str],
    timeout: float,
) -> list[Health]:
    """Ask each context's cluster, `timeout` seconds a request at most; in the contexts' order.

    Raises:
        StoreError: there is no kubectl.
    """
    find_program("kubectl", environ, GET)
    now = dt.datetime.now(dt.UTC)

    def ask(context: str) -> Health:
        health = _ask(document, context, environ, timeout)
        days = days_left(document, context, now)
        # Why a connection fails is often in the document itself.
        wrong = [one.sentence for one in findings if one.context == context]
        problem = "; ".join(wrong) or health.problem
        return Health(context, health.version, health.ready, health.nodes, days, problem)

    findings = validate(document, now)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            return list(pool.map(ask, contexts))
        except KeyboardInterrupt:
            end_all()
            raise


def _ask(document: Kubeconfig, context: str, environ: Mapping[str, str], timeout: float) -> Health:
    try:
        alone = dump(select(document, context)).encode()
    except KubeconfigError as error:
        return Health(context, problem=str(error))
    handle = os.memfd_create("kubeconfig")
    try:
        os.write(handle, alone)
        version = str(_get(handle, "/version", environ, timeout).get("gitVersion", ""))
        if not version:
            return Health(context, problem=NO_KUBERNETES)
        try:
            items = _get(handle, "/api/v1/nodes", environ, timeout).get("items") or []
        except StoreError as error:
            return Health(context, version, problem=f"its nodes: {error}")
    except StoreError as error:
        return Health(context, problem=str(error))
    finally:
        os.close(handle)
    if not isinstance(items, list):
        return Health(context, version, problem=f"its nodes: {NO_KUBERNETES}")
    ready = sum(_is_ready(node) for node in items)
    late = "" if ready == len(items) else f"{len(items) - ready} nodes are not ready"
    return Health(context, version, ready, len(items), problem=late if items else "it has no node")


def _get(handle: int, path: str, environ: Mapping[str, str], timeout: float) -> dict[str, Any]:
    command = [f"--kubeconfig=/proc/self/fd/{handle}", "get", "--raw", path]
    done = kubectl(command, environ, timeout, passing=[handle])
    if done.returncode and PROMPT in done.stdout:
        raise StoreError("its user has no credentials")
    if done.returncode:
        said = done.stderr.decode(errors="replace")
        known = (sentence for word, sentence in REASONS.items() if word in said)
        raise StoreError(next(known, "kubectl failed"))
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise StoreError(NO_KUBERNETES)
    return answer


def _is_ready(node: Any) -> bool:
    try:
        conditions = node["status"]["conditions"]
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    except (KeyError, TypeError):  # it has not told yet
        return False
