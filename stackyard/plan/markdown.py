"""A plan for a pull request: a summary, what is wrong and left alone, a table of VMs a wave."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from stackyard.plan.effects import effects_of
from stackyard.plan.text import SIGNS, summary
from stackyard.plan.values import Action, Plan

LONGEST = 65_000  # characters; GitHub takes 65,536 in a comment
_HEAD = ("| | VM | VMID | node | what happens |", "|---|---|---|---|---|")
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~@:-])")


@dataclass(frozen=True, slots=True)
class Page:
    """The plan as Markdown, cut to what a comment takes, and whole."""

    text: str
    whole: str

    @property
    def is_cut(self) -> bool:
        """Whether something was left out of `text`."""
        return self.text != self.whole


def render_markdown(plan: Plan, rest: str | None = None, longest: int = LONGEST) -> Page:
    """Return the plan as Markdown of at most `longest` characters; `rest` names the whole of it."""
    lines = list(_lines(plan))
    whole = "".join(f"{line}\n" for line in lines)
    if len(whole) <= longest:
        return Page(whole, whole)
    more = f"the whole plan is in {_escaped(rest)}" if rest else "`--rest FILE` writes all of it"
    tail = f"\n… cut here: {more}.\n"
    kept: list[str] = []
    room = longest - len(tail)
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(f"{line}\n")
    return Page("".join(kept) + tail, whole)


def _lines(plan: Plan) -> Iterator[str]:
    yield from ("### stackyard plan", "", _escaped(summary(plan)))
    left_alone = (*plan.notes, *plan.orphans)
    for title, sentences in (("Problems", plan.problems), ("Left alone", left_alone)):
        if sentences:
            yield from ("", f"**{title}**", "")
            yield from (f"- {_escaped(sentence)}" for sentence in sentences)
    for number, wave in enumerate(plan.waves, 1):
        if len(plan.waves) > 1:
            yield from ("", f"**Wave {number} of {len(plan.waves)}**")
        yield from ("", *_HEAD)
        yield from (_row(action) for action in wave)


def _row(action: Action) -> str:
    node = action.node if action.target is None else f"{action.node} → {action.target}"
    effects = (f"*{effect.kind}* {_escaped(effect.text)}" for effect in effects_of(action))
    said = "<br>".join(effects) or "a tag of ours removed"
    name = _escaped(action.name)
    return f"| {SIGNS[action.verb]} | {name} | {action.vmid} | {_escaped(node)} | {said} |"


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is, on one line: it comes from definitions and VMs."""
    plain = html.escape(" ".join(text.split()), quote=False)
    return _SPECIAL.sub(r"\\\1", plain)
