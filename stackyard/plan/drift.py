"""What is not as defined, for somebody who only wants to know: each VM in one line."""

from stackyard.plan.consent import Consent
from stackyard.plan.text import counted, sentence, waiting_words
from stackyard.plan.values import Action, Plan, Waiting


def consent_of_drift(limit: str | None) -> Consent:
    """Return what a plan has to agree to that mends every difference without losing data."""
    return Consent(prune=limit is None, extra="detach", only_asks=True)


def render_drift(plan: Plan) -> str:
    """Return a line for each VM that differs, and a sum; `plan` is one of `consent_of_drift`."""
    said = [(action.name, _said(action)) for action in plan.actions]
    said += [(waiting.name, _waits(waiting)) for waiting in plan.waiting]
    width = max((len(name) for name, _text in said), default=0)
    lines = [f"{name:<{width}}  {text}" for name, text in said]
    return "\n".join([*lines, *plan.problems, *plan.orphans, _sum(plan)])


def has_drift(plan: Plan) -> bool:
    """Tell whether anything is not as defined."""
    return not plan.is_empty or bool(plan.waiting or plan.orphans)


def _said(action: Action) -> str:
    if action.verb == "create":
        return f"is not there ({action.node} was to have it)"
    if action.verb == "finish":
        return f"VM {action.vmid} on {action.node} is half made"
    if action.verb == "destroy":
        return f"VM {action.vmid} on {action.node} is ours and has no definition"
    return sentence(action)


def _waits(waiting: Waiting) -> str:
    said = ", ".join(waiting_words(key) for key in waiting.keys) or "cloud-init data is unread"
    return f"{said}: automatic_reboot: false leaves the restart to you"


def _sum(plan: Plan) -> str:
    if not has_drift(plan):
        return f"No drift: {counted(plan.wanted)} as defined."
    differ = {action.name for action in plan.actions if action.verb != "destroy"}
    differ |= {waiting.name for waiting in plan.waiting} | set(plan.blocked)
    orphans = sum(action.verb == "destroy" for action in plan.actions) + len(plan.orphans)
    more = f", {counted(orphans)} of ours without a definition" if orphans else ""
    return f"Drift: {len(differ)} of {counted(plan.wanted)} not as defined{more}."
