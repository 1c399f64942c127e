"""A plan in a pull request: it fits, it is whole or says that it is not, and text stays text."""

from hypothesis import given
from hypothesis import strategies as st

from stackyard.plan.markdown import LONGEST, render_markdown
from stackyard.plan.values import Action, Change, Configure, Plan, Start


def action(name: str, text: str = "x") -> Action:
    changes = (Change("description", None, text), Change("cores", 1, 2, when="restart"))
    return Action(name, "node01", 101, "update", (Configure(changes), Start()), "about")


def row(letter: str) -> str:
    effects = [
        "*in-place* description x added",
        r"*reboot* cores 1 → 2 \(needs a reboot\)",
        "*power* start",
    ]
    return rf"| ~ | k8s\-{letter} | 101 | node01 | {'<br>'.join(effects)} |"


def test_each_difference_is_named_with_its_class() -> None:
    plan = Plan(waves=((action("k8s-a"),), (action("k8s-b"),)), notes=("a note",), wanted=2)
    page = render_markdown(plan)
    assert not page.is_cut
    assert page.text.splitlines() == [
        "### stackyard plan",
        "",
        r"Plan\: 2 to change, 0 as wanted.",
        "",
        "**Left alone**",
        "",
        "- a note",
        "",
        "**Wave 1 of 2**",
        "",
        "| | VM | VMID | node | what happens |",
        "|---|---|---|---|---|",
        row("a"),
        "",
        "**Wave 2 of 2**",
        "",
        "| | VM | VMID | node | what happens |",
        "|---|---|---|---|---|",
        row("b"),
    ]


def test_a_long_plan_is_cut_at_whole_rows_and_says_so() -> None:
    plan = Plan(waves=(tuple(action(f"k8s-{n}", "y" * 200) for n in range(500)),), wanted=500)
    page = render_markdown(plan, "rest.md")
    assert len(page.text) <= LONGEST < len(page.whole)
    assert page.text.endswith("\n… cut here: the whole plan is in rest.md.\n")
    assert r"k8s\-499" in page.whole
    rows = [line for line in page.text.splitlines() if line.startswith("| ~")]
    assert rows == [line for line in page.whole.splitlines() if line.startswith("| ~")][: len(rows)]
    assert "--rest FILE" in render_markdown(plan).text


@given(st.text(max_size=80), st.integers(200, 900))
def test_no_text_of_a_vm_is_markup(text: str, longest: int) -> None:
    plan = Plan(waves=((action("k8s-a", text),),), problems=(text,), wanted=1)
    page = render_markdown(plan, longest=longest)
    assert len(page.text) <= longest
    (found,) = (line for line in page.whole.splitlines() if line.startswith("| ~"))
    bare = found.replace("\\\\", "").replace("\\|", "").replace("<br>", "")
    assert bare.count("|") == 6
    assert not {"<", "`"} & set(bare.replace("\\`", ""))
