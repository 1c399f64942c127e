"""Which VMs a limit names: each of its patterns names one at least."""

import pytest
from plan_world import definition_of

from stackyard.plan import PlanError, select

FLEET = [
    definition_of({"name": name, "target_node": "node01", "managed": name != "by-hand"})
    for name in ("web1", "web2", "k8s-shop", "by-hand")
]


def test_a_limit_is_a_list_of_patterns() -> None:
    assert [d.name for d in select(FLEET, "web*, k8s-shop,web1, ")] == ["k8s-shop", "web1", "web2"]


@pytest.mark.parametrize(
    ("limit", "idle"),
    [
        ("web1,k8s-shpo", "'k8s-shpo'"),
        ("by-hand,web*,x*", "'by-hand' or 'x*'"),
        ("x", "'x'"),
        (",", "','"),
    ],
)
def test_a_pattern_that_names_nobody_is_an_error(limit: str, idle: str) -> None:
    with pytest.raises(PlanError) as caught:
        select(FLEET, limit)
    assert str(caught.value).startswith(f"no managed VM matches {idle}: ")
