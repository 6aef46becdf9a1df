"""The verdict of the judge: broken promises, and the explanation of each repeated start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, cast

import attrs

from rediq_trio.testing.judge.observed import SECOND, Call, End, Final, Observation, Observed, Start

PROMISES = {
    1: "nothing is lost, and nothing comes from nowhere",
    2: "what the queue does itself is done once",
    3: "nothing starts too early, too late or too often",
    4: "each start has its reason",
    5: "each task's history is one that the specification has",
    6: "what was confirmed by replicas outlives a failover",
    7: "what a viewer saw is a state that the queue was in",
}
"""Number -> promise."""

SHOWN_PROMISES = 10
"""Violations of each promise that the report shows in full."""


@attrs.frozen
class BrokenPromise:
    """A promise that was broken."""

    invariant: int
    """Its number in `PROMISES`."""
    subject: str
    """The task, queue, limit or schedule."""
    sentence: str
    history: tuple[str, ...] = ()
    """The observations that show it, as few as possible."""
    forgivable: bool = True
    """Whether a failover that loses writes can cause this, as is documented."""

    def __str__(self) -> str:
        return f"promise {self.invariant}, {self.subject}: {self.sentence}"


@attrs.frozen
class Duplicate:
    """A start after the first one of its task."""

    id: str
    fence: int
    explanation: str


@attrs.define
class JudgeVerdict:
    """The result of judging one run."""

    violations: list[BrokenPromise] = attrs.field(factory=list)
    duplicates: list[Duplicate] = attrs.field(factory=list)
    losses: list[BrokenPromise] = attrs.field(factory=list)
    """Broken promises that a failover explains."""
    undecided: list[str] = attrs.field(factory=list)
    """Tasks whose history was too long to search; each is a violation too."""
    counts: dict[str, int] = attrs.field(factory=dict)

    @property
    def passed(self) -> bool:
        return not self.violations

    def report(self) -> str:
        """Return the verdict as text."""
        lines = [f"{name:26} {count:,}" for name, count in self.counts.items()]
        why = Counter(each.explanation for each in self.duplicates)
        lines.append(f"{'starts after the first':26} {len(self.duplicates):,}")
        lines += [f"  {count:8,}  {reason}" for reason, count in why.most_common()]
        if self.losses:
            lines.append(f"{'forgotten by failovers':26} {len(self.losses):,}")
            lines += [f"  {each}" for each in self.losses[:SHOWN_PROMISES]]
        if self.undecided:
            lines.append(f"{'undecided':26} {len(self.undecided):,}")
        for number, promise in PROMISES.items():
            broken = [each for each in self.violations if each.invariant == number]
            lines.append(
                f"{number}. {promise}: " + (f"BROKEN {len(broken):,} times" if broken else "kept")
            )
            for each in broken[:SHOWN_PROMISES]:
                lines += [
                    f"   {each.subject}: {each.sentence}",
                    *(f"      {h}" for h in each.history),
                ]
        return "\n".join(lines)


def history_lines(observed: Observed, seen: Iterable[Observation]) -> tuple[str, ...]:
    """Return observations as lines of text, in the order of time."""
    return tuple(_line(observed, each) for each in sorted(seen, key=lambda each: each.at))


def _line(observed: Observed, seen: Observation) -> str:
    at = f"{(seen.at - observed.begun) / SECOND:9.3f} s  "
    match seen:
        case Call():
            return f"{at}{seen.client}: {seen.op} {_asked(seen)}{_answered(observed, seen)}"
        case Start():
            held = f", holding {', '.join(seen.members)}" if seen.members else ""
            return f"{at}{seen.process}: start, fence {seen.fence}, attempt {seen.attempt}{held}"
        case End():
            reason = f" ({seen.reason})" if seen.reason else ""
            children = f", children {', '.join(seen.children)}" if seen.children else ""
            return f"{at}{seen.process}: end, fence {seen.fence}, {seen.ended_as}{reason}{children}"
        case Final():
            held = f", holding {', '.join(seen.members)}" if seen.members else ""
            return (
                f"{at}at the end: {seen.state}, attempt {seen.attempt}, deliveries {seen.deliveries}, "
                f"crashes {seen.crashes}, snoozes {seen.snoozes}{held}"
            )
        case _:
            raise AssertionError(seen)


_SHOWN_ARGS = (
    "kind", "due_s", "expires_s", "deadline_s", "max_retry", "max_crashes", "limit_key", "group",
    "depends_on",
)  # fmt: skip


def _asked(call: Call) -> str:
    shown = ", ".join(f"{name}={call.args[name]}" for name in _SHOWN_ARGS if call.args.get(name))
    return f"({shown}) " if shown else ""


def _answered(observed: Observed, call: Call) -> str:
    if call.error:
        return f"-> {call.error}, " + ("nothing was sent" if call.void else "nobody knows")
    if call.back is None:
        return "-> no answer"
    said = call.answer
    if isinstance(said, dict):
        parts = cast("dict[str, Any]", said)
        said = ", ".join(f"{name} {value}" for name, value in parts.items())
    return f"-> {said} at {(call.back - observed.begun) / SECOND:.3f} s"
