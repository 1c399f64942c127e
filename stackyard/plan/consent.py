"""What was agreed to beyond the harmless; without it such a difference is a problem or a note."""

from dataclasses import dataclass
from typing import Literal

# What becomes of what a VM has and its definition does not: its disks, and where they are detached
# its network cards and cloud-init addresses too, which hold no data.
Extra = Literal["keep", "detach", "erase"]


@dataclass(frozen=True, slots=True)
class Consent:
    """The flags of one plan."""

    replace: frozenset[str] = frozenset()  # names of VMs that may be destroyed and made anew
    prune: bool = False  # VMs of ours without a definition are destroyed
    extra: Extra = "keep"
    only_asks: bool = False  # nothing is going to be done, so that protection holds nothing back


NOTHING = Consent()
