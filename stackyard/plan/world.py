"""What the decision about one definition is made from."""

from collections.abc import Mapping
from dataclasses import dataclass

from stackyard.definitions.model import Definition
from stackyard.plan.consent import Consent
from stackyard.plan.observed import Observed


@dataclass(frozen=True, slots=True)
class World:
    """What a decision is made from, beside the definition."""

    fleet: tuple[Definition, ...]
    observed: Observed
    vmids: Mapping[str, int]  # by name of a managed definition
    consent: Consent
    freed: frozenset[int]  # VMIDs that VMs to be removed give up
