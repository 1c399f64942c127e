"""What goes wrong around the lab, in one sentence for a person."""

from stackyard.errors import StackyardError


class LabError(StackyardError):
    """The lab cannot do as told; the text says what is missing and what to do about it."""
