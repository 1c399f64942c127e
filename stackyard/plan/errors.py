"""What stands against a plan as a whole; what is wrong with one VM is a problem in the plan."""

from stackyard.errors import StackyardError


class PlanError(StackyardError):
    """No plan can be made, or the one at hand must not be carried out."""
