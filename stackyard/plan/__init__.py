"""Desired and observed VMs in, a plan out: pure, frozen, and the same in JSON and in memory."""

from stackyard.plan.consent import Consent
from stackyard.plan.destroy import plan_destroy
from stackyard.plan.document import from_json, to_json
from stackyard.plan.errors import PlanError
from stackyard.plan.make import make_plan, select
from stackyard.plan.observed import TAG, UNCONFIGURED, Config, Observed, ObservedVm
from stackyard.plan.text import render_text, summary
from stackyard.plan.values import Action, Change, Plan
from stackyard.plan.vmids import assign_vmids

__all__ = [
    "TAG",
    "UNCONFIGURED",
    "Action",
    "Change",
    "Config",
    "Consent",
    "Observed",
    "ObservedVm",
    "Plan",
    "PlanError",
    "assign_vmids",
    "from_json",
    "make_plan",
    "plan_destroy",
    "render_text",
    "select",
    "summary",
    "to_json",
]
