"""A problem of a plan names the line of what it is about."""

from dataclasses import replace
from typing import Any

import pytest
from plan_world import SITE, definition_of, observed_of

from stackyard.definitions.model import Source
from stackyard.plan import make_plan

LINES = {"name": 1, "target_node": 2, "pool": 3, "vmid": 4}


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"pool": "nope"}, 3),
        ({"vmid": 110}, 4),
        ({"target_node": "node09"}, 2),
        ({"name": "other"}, 1),
    ],
)
def test_a_problem_stands_at_its_key(keys: dict[str, Any], line: int) -> None:
    wanted = definition_of({"name": "a", "target_node": "node01", **keys})
    wanted = replace(wanted, source=Source("vms/a.yaml", LINES))
    other = {"vmid": 110, "node": "node01", "name": "other"}
    observed = observed_of({"nodes": {"node01": True}, "vms": [other]})
    plan = make_plan([wanted], replace(observed, pools=frozenset({"prod"})), SITE)
    (problem,) = plan.problems
    assert problem.startswith(f"vms/a.yaml:{line}: ")
