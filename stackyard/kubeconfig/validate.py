"""What is wrong with a kubeconfig before anybody connects: references, addresses, certificates."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from stackyard.kubeconfig.certificates import CertificateError, load, mismatch
from stackyard.kubeconfig.document import (
    USED,
    Entry,
    Kubeconfig,
    KubeconfigError,
    content,
    dangling,
    entries,
    find,
    used,
)
from stackyard.kubeconfig.server import check_server

FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


@dataclass(frozen=True, slots=True)
class Finding:
    """A context that cannot work, and why; `context` is "" for the document itself."""

    context: str
    sentence: str

    def __str__(self) -> str:
        """Return the sentence with the context's name."""
        return f"{self.context}: {self.sentence}" if self.context else self.sentence


def validate(document: Kubeconfig, now: dt.datetime) -> list[Finding]:
    """Return all that is wrong, in the order of the contexts.

    A certificate that ends later is no finding: `days_left` tells when.
    """
    found = check_current(document)
    for context in entries(document, "contexts"):
        found += [Finding(context["name"], said) for said in _context(document, context, now)]
    return found


def check_current(document: Kubeconfig) -> list[Finding]:
    """Return a finding where the current context is not one of the document's."""
    current = document.get("current-context")
    if not current or find(document, "contexts", str(current)) is not None:
        return []
    return [Finding("", f"the current context {current} is not there")]


def days_left(document: Kubeconfig, context: str, now: dt.datetime) -> int | None:
    """Return the whole days until the first certificate ends; None where none can be read."""
    entry = find(document, "contexts", context)
    try:
        end = load(*(_part(document, entry, kind) for kind in USED)).end()
    except CertificateError:
        return None
    return None if end is None else (end - now).days


def _part(document: Kubeconfig, context: Entry | None, kind: str) -> Entry | None:
    name = used(context, kind)
    return find(document, kind, name) if isinstance(name, str) else None


def _context(document: Kubeconfig, context: Entry, now: dt.datetime) -> Iterator[str]:
    parts = {}
    for kind in USED:
        parts[kind] = _part(document, context, kind)
        if parts[kind] is None:
            yield f"it {dangling(kind, used(context, kind))}"
            continue
        for file in FILES:
            if content(kind, parts[kind]).get(file):
                yield f"its {file} is a file, which others do not have"
    if parts["clusters"] is not None:
        try:
            check_server(
                content("clusters", parts["clusters"]).get("server"), parts["clusters"]["name"]
            )
        except KubeconfigError as error:
            yield str(error)
    yield from _certificates(parts["clusters"], parts["users"], now)


def _certificates(cluster: Entry | None, user: Entry | None, now: dt.datetime) -> Iterator[str]:
    try:
        loaded = load(cluster, user)
    except CertificateError as error:
        yield str(error)
        return
    if mismatch(loaded):
        yield "its client certificate is not signed by the cluster's CA of the issuer's name"
    end = loaded.end()
    if end is not None and end < now:
        yield f"a certificate of its expired on {end:%Y-%m-%d}"
    if loaded.client and loaded.client[0].not_valid_before_utc > now:
        yield f"its client certificate holds from {loaded.client[0].not_valid_before_utc} only"
