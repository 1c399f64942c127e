"""What is not as defined, for somebody who only wants to know: each VM in one line."""

from collections.abc import Iterator

from stackyard.plan.text import sentence
from stackyard.plan.values import Action, Plan


def render_drift(plan: Plan) -> str:
    """Return a line for each VM that differs, and a sum; `plan` is one that removes orphans."""
    width = max((len(action.name) for action in plan.actions), default=0)
    lines = [f"{action.name:<{width}}  {_said(action)}" for action in plan.actions]
    lines += plan.problems
    return "\n".join([*lines, *_kept(plan), _sum(plan)])


def has_drift(plan: Plan) -> bool:
    """Tell whether anything is not as defined."""
    return not plan.is_empty or bool(list(_kept(plan)))


def _said(action: Action) -> str:
    if action.verb == "create":
        return f"is not there ({action.node} was to have it)"
    if action.verb == "finish":
        return f"VM {action.vmid} on {action.node} is half made"
    if action.verb == "destroy":
        return f"VM {action.vmid} on {action.node} is ours and has no definition"
    return sentence(action)


def _kept(plan: Plan) -> Iterator[str]:
    """Yield the notes on VMs without a definition that a removal would leave alone."""
    return (note for note in plan.notes if "is ours and has no definition" in note)


def _sum(plan: Plan) -> str:
    count = len(list(plan.actions)) + len(plan.problems) + len(list(_kept(plan)))
    if not count:
        return f"No drift: {plan.wanted} VM{'s' if plan.wanted != 1 else ''} as defined."
    return f"Drift: {count} VM{'s' if count != 1 else ''} not as defined, of {plan.wanted}."
