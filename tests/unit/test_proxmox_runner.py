"""In which order the actions of a wave are begun."""

from stackyard.plan.values import Action, Clone, Start, Step
from stackyard.proxmox.runner import spread


def action(name: str, node: str, *steps: Step) -> Action:
    return Action(name, node, 100, "create", steps, "")


def test_what_shares_places_takes_turns_with_what_does_not() -> None:
    slow, quick = (Clone("t", 9000, full=True, storage=name) for name in ("slow", "quick"))
    wave = (
        *(action(f"slow{n}", "node01", slow) for n in range(3)),
        *(action(f"quick{n}", "node01", quick) for n in range(2)),
        *(action(f"away{n}", "node02", slow) for n in range(2)),
        action("start0", "node01", Start()),
    )
    assert [each.name for each in spread(wave)] == [
        *("slow0", "quick0", "away0", "start0"),
        *("slow1", "quick1", "away1"),
        "slow2",
    ]
