"""What a commit message can ask for that cannot be done."""

from stackyard.errors import StackyardError


class RoutingError(StackyardError):
    """A tag that is malformed, or names what cannot be configured."""
