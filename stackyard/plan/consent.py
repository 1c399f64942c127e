"""What was agreed to beyond the harmless; without it such a difference is a problem or a note."""

from dataclasses import dataclass
from typing import Literal

# What becomes of a disk that its VM's definition does not have.
ExtraDisks = Literal["keep", "detach", "erase"]


@dataclass(frozen=True, slots=True)
class Consent:
    """The flags of one plan."""

    replace: frozenset[str] = frozenset()  # names of VMs that may be destroyed and made anew
    prune: bool = False  # VMs of ours without a definition are destroyed
    extra_disks: ExtraDisks = "keep"


NOTHING = Consent()
