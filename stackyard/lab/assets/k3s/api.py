"""The Kubernetes API that the program serves: discovery, health, nodes, namespaces, empty pods.

Read-only. Answers are values; the HTTP server in serving.py sends them.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .nodes import Document, Nodes, stamp
from .tables import table
from .version import BUILD, VERSION

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"

KINDS = {"namespaces": "Namespace", "nodes": "Node", "pods": "Pod", "services": "Service"}
NAMESPACED = frozenset({"pods", "services"})
SHORT = {"namespaces": ["ns"], "nodes": ["no"], "pods": ["po"], "services": ["svc"]}
NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")

HEALTH = frozenset({"/readyz", "/livez", "/healthz"})
COLLECTION = re.compile(
    r"^/api/v1(?:/namespaces/(?P<namespace>[^/]+))?/(?P<resource>[a-z]+)(?:/(?P<name>[^/]+))?$"
)
EQUALITY = re.compile(r"^([^!=,\s]+)\s*(==|=|!=)\s*([^!=,\s]*)$")


@dataclass(frozen=True)
class Answer:
    """A response: status, body, content type."""

    status: int
    body: bytes
    content_type: str = JSON


@dataclass(frozen=True)
class Query:
    """A list of one kind of objects that somebody wants, once or as they change."""

    resource: str
    namespace: str
    name: str
    as_table: bool
    labels: str
    fields: str

    @property
    def kind(self) -> str:
        """The kind of its objects."""
        return KINDS[self.resource]


class StatusError(Exception):
    """A request that ends in a Status object."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason

    def answer(self) -> Answer:
        """Return the Status."""
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            "reason": self.reason,
            "code": self.code,
        }
        return Answer(self.code, json.dumps(status).encode())


UNAUTHORIZED = StatusError(401, "Unauthorized", "Unauthorized")
UNKNOWN = StatusError(404, "NotFound", "the server could not find the requested resource")
READ_ONLY = StatusError(
    405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
)


class Api:
    """The objects of one cluster and how they are asked for."""

    def __init__(self, nodes: Nodes, created: float) -> None:
        self.nodes = nodes
        self._created = created

    def get(self, path: str, params: Mapping[str, str], accept: str) -> Answer:
        """Answer a GET of an authenticated client; StatusError where there is nothing."""
        if path in HEALTH or path.startswith(("/readyz/", "/livez/")):
            return Answer(200, b"ok", TEXT)
        document = DISCOVERY.get(path)
        if document is not None:
            return Answer(200, json.dumps(document).encode())
        return Answer(200, json.dumps(self.listing(query(path, params, accept))).encode())

    def listing(self, wanted: Query) -> Document:
        """Return the object, the list or the table that a query asks for."""
        found = self.select(wanted)
        version = self.nodes.version()
        if wanted.name and not found:
            text = f'{wanted.resource} "{wanted.name}" not found'
            raise StatusError(404, "NotFound", text)
        if wanted.as_table:
            return table(wanted.kind, found, version)
        if wanted.name:
            return found[0]
        meta = {"resourceVersion": version}
        return {"kind": f"{wanted.kind}List", "apiVersion": "v1", "metadata": meta, "items": found}

    def select(self, wanted: Query) -> list[Document]:
        """Return the objects a query means, by name."""
        objects = {"nodes": self.nodes.objects, "namespaces": self._namespaces}.get(
            wanted.resource, list
        )()
        if wanted.name:
            objects = [one for one in objects if one["metadata"]["name"] == wanted.name]
        return _by_labels(_by_fields(objects, wanted.fields), wanted.labels)

    def _namespaces(self) -> list[Document]:
        return [
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {
                    "name": name,
                    "resourceVersion": "1",
                    "creationTimestamp": stamp(self._created),
                    "labels": {"kubernetes.io/metadata.name": name},
                },
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            }
            for name in NAMESPACES
        ]


def query(path: str, params: Mapping[str, str], accept: str) -> Query:
    """Return what a path and its parameters ask for; StatusError for paths that are not served."""
    found = COLLECTION.match(path)
    if not found:
        raise UNKNOWN
    namespace, resource, name = found.group("namespace"), found.group("resource"), found["name"]
    if resource not in KINDS or (namespace and resource not in NAMESPACED):
        raise UNKNOWN
    return Query(
        resource=resource,
        namespace=namespace or "",
        name=name or "",
        as_table="as=Table" in accept,
        labels=params.get("labelSelector", ""),
        fields=params.get("fieldSelector", ""),
    )


def _by_fields(objects: Sequence[Document], selector: str) -> list[Document]:
    chosen = list(objects)
    for part in filter(None, selector.split(",")):
        field, equals, value = part.partition("=")
        if not equals or field != "metadata.name":
            raise StatusError(400, "BadRequest", f"field label not supported: {part}")
        chosen = [one for one in chosen if one["metadata"]["name"] == value.lstrip("=")]
    return chosen


def _by_labels(objects: Sequence[Document], selector: str) -> list[Document]:
    chosen = list(objects)
    for part in filter(None, selector.split(",")):
        chosen = [one for one in chosen if _has_label(one["metadata"].get("labels", {}), part)]
    return chosen


def _has_label(labels: Mapping[str, str], requirement: str) -> bool:
    found = EQUALITY.match(requirement.strip())
    if found:
        name, operator, value = found.groups()
        return (labels.get(name) == value) is (operator != "!=")
    if re.fullmatch(r"!?[\w./-]+", requirement):
        return (requirement.lstrip("!") in labels) is not requirement.startswith("!")
    raise StatusError(400, "BadRequest", f"unable to parse requirement: {requirement}")


def _version() -> dict[str, Any]:
    major, minor = VERSION.removeprefix("v").split(".")[:2] if "." in VERSION else ("", "")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": VERSION,
        "gitCommit": BUILD,
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": BUILD,
        "compiler": BUILD,
        "platform": "linux/amd64",
    }


DISCOVERY: dict[str, dict[str, Any]] = {
    "/version": _version(),
    "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            {
                "name": resource,
                "singularName": kind.lower(),
                "namespaced": resource in NAMESPACED,
                "kind": kind,
                "verbs": ["get", "list", "watch"],
                "shortNames": SHORT[resource],
            }
            for resource, kind in KINDS.items()
        ],
    },
}
