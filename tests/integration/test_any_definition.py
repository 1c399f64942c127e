"""Any definition is made, and changed into any other one, and leaves nothing to do."""

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from definition_strategies import documents
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from proxmox_lab import StartEndpoint

from stackyard.definitions.load import parse_vm
from stackyard.definitions.model import Definition
from stackyard.fleet import Site
from stackyard.plan import render_text
from stackyard.proxmox.apply import Terms
from stackyard.proxmox.client import Client
from stackyard.proxmox.converge import apply_and_look
from stackyard.proxmox.planning import plan_fleet
from stackyard.proxmox.settings import Settings

SITE = Site(Path("inventory/site.yml"), {}, {})
TERMS = Terms(read_secret=lambda _place: "a password")
FILES = {"local:import/a.qcow2": {"size": "1M"}, "local:iso/talos.iso": {"size": "96M"}}
# What decides whether there is a VM at all, and what wants something of the cluster beside it.
NOT_HERE = ("clone", "managed", "pool", "protection", "template", "vmid", "balloon")
# A slot holds something else; an address is in use; a device to boot from is not there.
REFUSED = "by hand|as after a renaming|boot names"
NUMBERS = count()


@pytest.fixture
def client(proxmox_endpoint: StartEndpoint) -> Iterator[Client]:
    """Root itself, who may give devices of the node to a VM."""
    endpoint = proxmox_endpoint({"files": FILES})
    environ = {"PROXMOX_URL": endpoint.url, "PROXMOX_CA": str(endpoint.ca)}
    environ |= {"PROXMOX_USER": "root@pam", "PROXMOX_PASSWORD": endpoint.secrets["root@pam"]}
    with Client(Settings.from_environment(environ)) as client:
        yield client


def fitted(document: dict[str, Any], name: str) -> Definition:
    """Return the definition with what the lab's node has: storages, files, threads, memory."""
    keys = {key: value for key, value in document.items() if key not in NOT_HERE}
    keys |= {"name": name, "target_node": "node03", "memory": min(keys.get("memory", 16), 4096)}
    keys |= {key: min(keys.get(key, 1), 4) for key in ("cores", "sockets")}
    there = {
        "storage": "data2",
        "import-from": "local:import/a.qcow2",
        "size": "1G",
        "format": "raw",
    }
    there |= {"iso": "local:iso/talos.iso", "bridge": "vmbr0"}
    holders = [
        *keys["disks"],
        *keys["networks"],
        *(v for v in keys.values() if isinstance(v, dict)),
    ]
    for holder in holders:
        holder.update({key: value for key, value in there.items() if key in holder})
    return parse_vm(yaml.safe_dump(keys))


# Written to Proxmox each time, so neither shrunk nor many.
@settings(
    max_examples=10,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(documents(), documents(), st.sampled_from(["running", "stopped", None]))
def test_any_definition_becomes_any_other(
    client: Client, one: dict[str, Any], other: dict[str, Any], power: str | None
) -> None:
    name = f"vm{next(NUMBERS)}"
    if "ha" not in one:
        one["vm_state"] = power
    for document in (one, other):
        definition = fitted(document, name)
        plan, _observed = plan_fleet(client, (definition,), SITE)
        if plan.problems:
            assert all(re.search(REFUSED, problem) for problem in plan.problems), plan.problems
            return
        outcome = apply_and_look(client, plan, (definition,), SITE, TERMS)
        assert [reached.error for reached in outcome.failed] == [], render_text(plan)
        then, _observed = plan_fleet(client, (definition,), SITE)
        assert then.is_empty, f"{render_text(plan)}\n{render_text(then)}"
