"""Facts for an inventory, from the environment's Proxmox or from a cache of its answers."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from stackyard.proxmox.client import Client
from stackyard.proxmox.errors import ApiError, ConnectionFailedError, ProxmoxError
from stackyard.proxmox.facts import Fact, Facts, Wanted, read_facts
from stackyard.proxmox.overlay import overlay, wanted
from stackyard.proxmox.settings import Settings

__all__ = ["UnavailableError", "ask", "digest", "from_json", "overlay", "to_json", "wanted"]

REFUSALS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


class UnavailableError(ProxmoxError):
    """Proxmox is down or broken; nothing is wrong with how it was asked."""


def ask(wanted: Wanted, environ: Mapping[str, str]) -> Facts:
    """Ask the Proxmox that the environment names.

    Raises:
        UnavailableError: it does not answer, or not as it should.
        ProxmoxError: the settings are wrong, or the credentials are refused.
    """
    try:
        with Client(Settings.from_environment(environ)) as client:
            return read_facts(client, wanted)
    except ConnectionFailedError as error:
        raise UnavailableError(str(error)) from error
    except ApiError as error:
        if error.status in REFUSALS:
            raise
        raise UnavailableError(str(error)) from error


def digest(wanted: Wanted, environ: Mapping[str, str]) -> str:
    """Return what facts depend on, as the key of a cache: who was asked, by whom, for what."""
    names = ("PROXMOX_URL", "PROXMOX_USER", "PROXMOX_TOKEN_ID")
    asked = {name: sorted(values) for name, values in asdict(wanted).items()}
    text = json.dumps([[environ.get(name) for name in names], asked])
    return hashlib.sha256(text.encode()).hexdigest()


def to_json(facts: Facts, of: str) -> str:
    """Return facts as JSON, with the digest of what they depend on."""
    return json.dumps({"of": of, "vms": [asdict(fact) for fact in facts.vms]})


def from_json(text: str, of: str) -> Facts | None:
    """Return the facts that `to_json` was given, unless they depend on something else."""
    kept: dict[str, Any] = json.loads(text)
    if kept["of"] != of:
        return None
    return Facts(tuple(Fact(**_tuples(entry)) for entry in kept["vms"]))


def _tuples(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in entry.items()}
