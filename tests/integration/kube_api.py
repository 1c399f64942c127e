"""A small Kubernetes API of the tests' own, over TLS: what `kubectl get --raw` and others ask."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from fault_proxy import Certificate, https_server

TOKEN = "c2VydmljZS1hY2NvdW50"
Document = dict[str, Any]


@dataclass
class KubeApi:
    """A cluster: its nodes' readiness, its Secrets by path, and what is to go wrong next."""

    url: str = ""
    nodes: list[bool] = field(default_factory=lambda: [True])
    secrets: dict[str, Document] = field(default_factory=dict)
    versions: int = 0
    namespaces: tuple[str, ...] = ("default",)
    cuts_after_write: int = 0
    cuts_before_write: int = 0
    meanwhile: Callable[[], None] = lambda: None  # what others do before a cut
    status: int = 0  # of every answer
    page: str = ""  # what stands before it answers to everything, with `status` or 200
    pod: str = ""  # the token of the service account stackyard in the namespace tools
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, path: str, given: Document) -> tuple[int, Document]:
        """Return an answer's status and body."""
        if self.status or self.page:
            reason = {401: "Unauthorized", 403: "Forbidden"}.get(self.status, "")
            return refused(self.status or 200, reason)
        if path.endswith("/tokenreviews"):
            return 201, given | {"status": self._review(given["spec"]["token"])}
        if path == "/version":
            return 200, {"gitVersion": "v1.33.4+tests"}
        if path == "/api/v1/nodes":
            return 200, {"kind": "NodeList", "items": [_node(ready) for ready in self.nodes]}
        with self.lock:
            return self._secret(method, path, given)

    def _review(self, token: str) -> Document:
        """Return what the cluster knows of a service account's token."""
        if token != self.pod:
            return {"authenticated": False}
        name = "system:serviceaccount:tools:stackyard"
        return {"authenticated": True, "user": {"username": name, "uid": "1"}}

    def _secret(self, method: str, path: str, given: Document) -> tuple[int, Document]:
        if method != "GET" and self.cuts_before_write:
            self.cuts_before_write -= 1
            return 0, {}
        if method == "POST":
            return self._create(path, given)
        found = self.secrets.get(path)
        if found is None:
            return refused(404, "NotFound")
        if method == "GET":
            return 200, found
        if given["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
            return refused(409, "Conflict")
        return self._keep(path, given)

    def _create(self, folder: str, given: Document) -> tuple[int, Document]:
        path = f"{folder}/{given['metadata']['name']}"
        if folder.split("/")[4] not in self.namespaces:
            return refused(404, "NotFound")
        return refused(409, "AlreadyExists") if path in self.secrets else self._keep(path, given)

    def _keep(self, path: str, given: Document) -> tuple[int, Document]:
        self.versions += 1
        given["metadata"]["resourceVersion"] = str(self.versions)
        self.secrets[path] = given
        if self.cuts_after_write:
            self.cuts_after_write -= 1
            self.meanwhile()
            return 0, {}
        return 200, given


@contextmanager
def kube_api(certificate: Certificate) -> Iterator[KubeApi]:
    """Run a cluster that one token may use."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"".join(self._body())
            path = self.path.partition("?")[0]
            if self.headers.get("Authorization") == f"Bearer {TOKEN}":
                status, answer = api.answer(self.command, path, json.loads(body or b"{}"))
            else:
                status, answer = refused(401, "Unauthorized")
            if status:
                content = api.page.encode() or json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if api.page else "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def _body(self) -> Iterator[bytes]:
            """Read what was sent; `kubectl create --raw` sends it in chunks."""
            if self.headers.get("Transfer-Encoding") != "chunked":
                yield self.rfile.read(int(self.headers.get("Content-Length", 0)))
                return
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()

        def do_POST(self) -> None:
            self.do_GET()

        def do_PUT(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    api = KubeApi()
    with https_server(Handler, certificate) as url:
        api.url = url
        yield api


def kubeconfig_of(api: KubeApi, certificate: Certificate, name: str = "default") -> Document:
    """Return a kubeconfig as an installer leaves it, the CA as a file."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {"server": api.url, "certificate-authority": str(certificate[0])},
            }
        ],
        "users": [{"name": name, "user": {"token": TOKEN}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def refused(status: int, reason: str) -> tuple[int, Document]:
    """Return what Kubernetes answers when it says no."""
    return status, {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": f"it is {reason}",
        "reason": reason,
        "code": status,
    }


def _node(ready: bool) -> Document:
    conditions = [{"type": "Ready", "status": "True" if ready else "Unknown"}]
    return {"metadata": {"name": "node"}, "status": {"conditions": conditions}}
