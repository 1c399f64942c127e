"""One key of a Kubernetes Secret, through kubectl and thus with any way to log in.

API: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/secret-v1/.
Its `resourceVersion` is what a write compares with.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stackyard.stores.kubectl import NO_KUBERNETES, kubectl
from stackyard.stores.protocol import Conflict, StoreError, UnavailableError, Versioned
from stackyard.stores.retry import answered

ABSENT = "absent"
DEADLINE_SECONDS = 10.0
# What kubectl says on standard error; the rest of it may quote what we sent.
LOST = "it may or may not be written: run it again"
CONFLICTS = ("(Conflict)", "(AlreadyExists)")
# Of answers without a Status of Kubernetes: a 404 of anybody's is no absent Secret.
STRANGERS = ("could not find the requested resource", "did not return more information")
REFUSED = {
    "(Forbidden)": "this login may not do that",
    "must be logged in": "the login is wrong or has expired",
    "(RequestEntityTooLarge)": "it is too large for a Secret",
    "(Invalid)": "the cluster finds it invalid; a Secret holds 1 MiB at most",
    "(NotFound)": "there is no such namespace",
    "certificate": "its certificate does not verify",
    "no configuration has been provided": "kubectl has no kubeconfig: set KUBECONFIG",
}


class _NotFoundError(Exception):
    pass


class _LostError(Exception):
    """A conflict after an answer that was lost: perhaps with ourselves."""


@dataclass(frozen=True, slots=True)
class SecretStore:
    """A key of a Secret in the cluster of kubectl's current context."""

    namespace: str
    secret: str
    key: str
    environ: Mapping[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        """The Secret's place."""
        return f"Secret {self.namespace}/{self.secret}"

    def read(self) -> Versioned:
        """Return the key's text; the version is that of the whole Secret."""
        found = self._object()
        if found is None:
            return Versioned(None, ABSENT)
        value = (found.get("data") or {}).get(self.key)
        try:
            text = None if value is None else base64.b64decode(value, validate=True).decode()
        except (TypeError, binascii.Error, UnicodeDecodeError):
            raise StoreError(f"{self.name}: the key {self.key} is not a text") from None
        return Versioned(text, _version(found))

    def write(self, document: str, version: str) -> None:
        """Write the key beside the Secret's others, if its version still is the one read."""
        found = self._object()
        if (ABSENT if found is None else _version(found)) != version:
            raise Conflict
        try:
            self._put(*self._request(found, document))
        except _NotFoundError:
            if found is None:
                raise StoreError(f"{self.name}: {REFUSED['(NotFound)']}") from None
            raise Conflict from None  # it was deleted since
        except _LostError:
            # Ours, or another's: what is there decides.
            if self.read().document != document:
                raise UnavailableError(f"{self.name}: {LOST}") from None

    def _request(self, found: dict[str, Any] | None, document: str) -> tuple[list[str], bytes]:
        value = base64.b64encode(document.encode()).decode()
        place = f"/api/v1/namespaces/{self.namespace}/secrets"
        if found is None:
            made: dict[str, Any] = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": self.secret, "namespace": self.namespace},
                "data": {self.key: value},
            }
            command = ["create", "--raw", place, "-f", "-"]
        else:
            made = found | {"data": (found.get("data") or {}) | {self.key: value}}
            command = ["replace", "--raw", f"{place}/{self.secret}", "-f", "-"]
        return command, json.dumps(made).encode()

    def _put(self, command: Sequence[str], body: bytes) -> None:
        lost = False

        def once() -> None:
            nonlocal lost
            try:
                self._kubectl(command, body)
            except UnavailableError:
                lost = True
                raise
            except Conflict:
                if lost:
                    raise _LostError from None
                raise

        # Asked again it happens once only: each write compares with the version that was read.
        try:
            answered(once, DEADLINE_SECONDS)
        except UnavailableError as error:
            raise UnavailableError(f"{error} ({LOST})") from None

    def _object(self) -> dict[str, Any] | None:
        place = f"/api/v1/namespaces/{self.namespace}/secrets/{self.secret}"
        try:
            text = answered(lambda: self._kubectl(["get", "--raw", place]), DEADLINE_SECONDS)
        except _NotFoundError:
            return None
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not _is_secret(found):
            raise StoreError(f"{self.name}: {NO_KUBERNETES}")
        return dict(found)

    def _kubectl(self, arguments: Sequence[str], given: bytes = b"") -> bytes:
        done = kubectl(arguments, self.environ, DEADLINE_SECONDS, given)
        if done.returncode == 0:
            return done.stdout
        said = done.stderr.decode(errors="replace")
        if any(word in said for word in CONFLICTS):
            raise Conflict
        if any(word in said for word in STRANGERS):
            raise StoreError(f"{self.name}: {NO_KUBERNETES}")
        if "(NotFound)" in said:
            raise _NotFoundError
        refused = [sentence for word, sentence in REFUSED.items() if word in said]
        if refused:
            raise StoreError(f"{self.name}: {refused[0]}")
        raise UnavailableError(f"{self.name}: no answer, is the cluster running?")


def _is_secret(found: Any) -> bool:
    """Tell whether this is a Secret, with the version that a write needs to compare."""
    if not isinstance(found, dict) or not isinstance(found.get("data"), dict | None):
        return False
    metadata = found.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    return found.get("kind") == "Secret" and isinstance(version, str)


def _version(found: Mapping[str, Any]) -> str:
    return str(found["metadata"]["resourceVersion"])
