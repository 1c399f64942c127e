"""Planning by cases: each file under cases/plan/ has definitions, a world, and what is said."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from plan_world import SITE, after, definition_of, observed_of

from stackyard.plan import Consent, from_json, make_plan, render_text, to_json
from stackyard.plan.effects import effects_of

CASES = sorted((Path(__file__).parent / "cases" / "plan").glob("*.yaml"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_plan_is_the_one_of_the_case(path: Path) -> None:
    case: dict[str, Any] = yaml.safe_load(path.read_text())
    definitions = tuple(definition_of(plain) for plain in case["definitions"])
    observed = observed_of(case["observed"])
    agreed = case.get("consent", {})
    consent = Consent(**{**agreed, "replace": frozenset(agreed.get("replace", ()))})

    plan = make_plan(definitions, observed, SITE, case.get("limit"), consent)

    assert render_text(plan) == case["text"].rstrip("\n")
    assert from_json(to_json(plan)) == plan
    kinds = {a.name: [effect.kind for effect in effects_of(a)] for a in plan.actions}
    assert kinds | case.get("kinds", {}) == kinds
    if "waves" in case:
        assert [[action.name for action in wave] for wave in plan.waves] == case["waves"]
    if not plan.problems and not case.get("limit"):
        again = Consent(prune=consent.prune, extra=consent.extra)
        then = make_plan(definitions, after(plan, observed), SITE, consent=again)
        assert then.is_empty, render_text(then)
