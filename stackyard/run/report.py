"""How far a run came, told the same way whether it got to its end or not."""

from dataclasses import dataclass, field

from stackyard.run.play import HostResult


@dataclass(slots=True)
class Report:
    """Grows while a run goes on."""

    commit: str
    site: str = ""  # the option that names it, where it is not the working folder
    named: tuple[str, ...] = ()  # the hosts of the commit's tags
    applied: dict[str, str] = field(default_factory=dict)  # VM: created, updated, …
    ready: set[str] = field(default_factory=set)
    played: dict[str, dict[str, HostResult]] = field(default_factory=dict)  # where it succeeded
    configured: set[str] = field(default_factory=set)  # hosts whose tag was removed
    notes: list[str] = field(default_factory=list)
    failure: str = ""  # of the journal, where all else was done

    def reached(self) -> str:
        """Say in one clause what is kept, what is missing, and how to go on."""
        parts = [f"{verb} {name}" for name, verb in sorted(self.applied.items())]
        succeeded: set[str] = set()
        for play, hosts in self.played.items():
            succeeded.update(hosts)
            if hosts:
                parts.append(f"{play} succeeded on {', '.join(sorted(hosts))}")
        waiting = self.ready - succeeded
        if waiting:
            parts.append(f"ready: {', '.join(sorted(waiting))}")
        left = [name for name in self.named if name not in succeeded]
        if left:
            parts.append(f"not configured: {', '.join(left)}")
        kept = "".join(f"{part}; " for part in parts)
        return f"{kept}run again with: stackyard run --commit {self.commit}{self.site}"
