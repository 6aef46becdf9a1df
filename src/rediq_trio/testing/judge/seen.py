"""Promise 7: what a viewer saw of a queue is a state that its recorded history passed through.

A folder `viewed/` has the steps of each queue, as `rediq history` writes them, and the views. A viewer reads
a queue's history to its end, looks, and reads it to its end again: so the state that it saw lies between
these two steps, whatever the clocks say. The counts by state, the totals and whether the queue is
paused are computed step by step, and a view is right if they were all so after one and the same step.

A queue that is not paused and has no pending task is read by `Client.overview`, in several commands. So
of its view each number has to be right after some step between the two, and not all after the same.

What happened of late is read in other calls, and kept for a while. So the totals that it names have to be
those after some step until the end of the look; that not more attempts failed and not more tasks
died of late than ever is all that can be said of the rest, because workers sample it.

It may miss: a view of half a script's steps, which a reader never sees, and which is a state here. Of a
view it judges neither its queues against each other, because each is read in a call of its own; nor the
age of the oldest task, which depends on the instant of the read, which no view has; nor workers,
schedules and the memory of servers, of which a history says nothing; nor the rate, which is the
difference of two views. A failover loses steps that were seen, so nobody looks at such a run.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import attrs

from rediq_trio.spec.lifecycle import State, Transition
from rediq_trio.testing.judge.verdict import BrokenPromise

VIEWED = "viewed"
"""The folder that has the views, and in `steps/` a history of each queue."""
TOTALS = (
    "enqueued",
    "completed_total",
    "failed_total",
    "dead_total",
    "purged",
    "deleted",
    "batched",
)
SEEN_NUMBERS = (*(state.value for state in State), *TOTALS, "paused")
"""What a view of a queue says of it at one instant."""


@attrs.frozen
class SeenQueue:
    """One queue in one view."""

    since: int
    """The last step that was known before the look."""
    until: int
    """The last step that was known after it."""
    numbers: Mapping[str, int]
    """What `SEEN_NUMBERS` names."""
    lately: Mapping[str, Any] | None = None
    """`totals` (failed attempts and dead tasks ever), `failed` and `deaths`; None if it was not known."""

    @property
    def is_of_one_instant(self) -> bool:
        """Whether its numbers were read in one step: see `observe.views.look`."""
        return bool(self.numbers["pending"] or self.numbers["paused"])


@attrs.frozen
class PassedStep:
    """What a step says about the counts of its queue."""

    number: int
    transition: str
    source: str | None = None
    target: str | None = None
    after: Sequence[int] = ()


class Numbers:
    """The counts of a queue, step by step, from before its first task."""

    def __init__(self) -> None:
        self.step = 0
        self._counts: Counter[str] = Counter()

    def take(self, step: PassedStep) -> None:
        """Go on by one step."""
        counts = self._counts
        self.step = step.number
        if step.transition == Transition.FLUSH:
            counts["deleted"] += step.after[0]
            for state in State:
                counts[state] = 0
        elif step.transition in ("pause", "resume"):
            counts["paused"] = step.after[0]
        if step.source is not None:
            counts[step.source] -= 1
        if step.target is not None:
            counts[step.target] += 1
        for total in _counted(step):
            counts[total] += 1

    def now(self) -> tuple[int, ...]:
        """Return the values of `SEEN_NUMBERS`."""
        return tuple(self._counts[name] for name in SEEN_NUMBERS)

    @property
    def failed_and_dead(self) -> tuple[int, int]:
        return self._counts["failed_total"], self._counts["dead_total"]


def _counted(step: PassedStep) -> Iterator[str]:
    """Return the totals that a step adds one to, as the rules of `spec` count."""
    if step.source is None and step.target is not None:
        yield "enqueued"
    if step.target == State.DEAD and step.source != State.DEAD:
        yield "dead_total"
    match step.transition:
        case Transition.COMPLETE:
            yield "completed_total"
            if step.target is None:
                yield "purged"
        case Transition.FAIL:
            yield "failed_total"
        case Transition.PURGE:
            yield "purged"
        case Transition.DELETE | Transition.REQUEUE:
            yield "deleted"
        case Transition.BATCH if step.target is None:
            yield "batched"
        case _:
            pass


def judge_views(folder: Path) -> tuple[int, list[BrokenPromise]]:
    """Judge what a viewer saw; return how many views of a queue there were, and what was wrong."""
    seen = _read_views(folder / VIEWED / "views.jsonl")
    found: list[BrokenPromise] = []
    for name, views in seen.items():
        found += judge_seen(name, views, _read_steps(folder / VIEWED / "steps" / f"{name}.jsonl"))
    return sum(map(len, seen.values())), found


def judge_seen(
    name: str, views: Iterable[SeenQueue], steps: Iterable[PassedStep]
) -> Iterator[BrokenPromise]:
    """Return each view of a queue that is no state that these steps passed through."""
    numbers, left = Numbers(), iter(steps)
    totals = {numbers.failed_and_dead}
    for view in views:
        broken = yield from _go_on(name, numbers, left, view.since, totals)
        if broken:
            return
        passed = {numbers.now()}
        while numbers.step < view.until:
            before = numbers.step
            broken = yield from _go_on(name, numbers, left, before + 1, totals)
            if broken:
                return
            passed.add(numbers.now())
        seen = tuple(int(view.numbers[each]) for each in SEEN_NUMBERS)
        if seen not in passed and (sentence := _difference(view, seen, passed)):
            yield BrokenPromise(7, name, sentence)
        yield from _judge_lately(name, view, numbers, totals)


def _go_on(
    name: str,
    numbers: Numbers,
    steps: Iterator[PassedStep],
    until: int,
    totals: set[tuple[int, int]],
) -> Generator[BrokenPromise, None, bool]:
    """Take the steps to `until`; return whether one of them is missing, and all later ones say nothing."""
    while numbers.step < until:
        step = next(steps, None)
        if step is None or step.number != numbers.step + 1:
            what = "the history ends" if step is None else f"step {step.number} follows"
            yield BrokenPromise(7, name, f"{what} after step {numbers.step}, and {until} was seen")
            return True
        numbers.take(step)
        totals.add(numbers.failed_and_dead)
    return False


def _difference(view: SeenQueue, seen: Sequence[int], passed: set[tuple[int, ...]]) -> str:
    """Return in what a view differs from all states that the queue was in meanwhile; "" if it may."""
    between = f"between step {view.since} and {view.until}"
    wrong: list[str] = []
    for name, value, values in zip(SEEN_NUMBERS, seen, zip(*passed, strict=True), strict=True):
        if value not in values:
            low, high = min(values), max(values)
            was = f"{low}" if low == high else f"{low} to {high}"
            wrong.append(f"{name} is seen as {value}, and was {was} {between}")
    if not wrong and view.is_of_one_instant:
        wrong.append(f"no state {between} has all of what is seen together")
    return "; ".join(wrong)


def _judge_lately(
    name: str, view: SeenQueue, numbers: Numbers, totals: set[tuple[int, int]]
) -> Iterator[BrokenPromise]:
    if view.lately is None:
        return
    named = tuple(view.lately["totals"])
    if named not in totals:
        yield BrokenPromise(
            7,
            name,
            f"{named} failed attempts and dead tasks are seen, and never were by {view.until}",
        )
    for field, most in zip(("failed", "deaths"), numbers.failed_and_dead, strict=True):
        if view.lately[field] > most:
            yield BrokenPromise(
                7, name, f"{view.lately[field]} {field} of late are seen, of {most} ever"
            )


def _read_views(path: Path) -> dict[str, list[SeenQueue]]:
    found: defaultdict[str, list[SeenQueue]] = defaultdict(list)
    if path.exists():
        with path.open("rb") as lines:
            for line in lines:
                for name, each in json.loads(line)["queues"].items():
                    found[name].append(SeenQueue(**each))
    return found


def _read_steps(path: Path) -> Iterator[PassedStep]:
    with path.open("rb") as lines:
        for line in lines:
            fields = cast("dict[str, Any]", json.loads(line))
            if "rediq_history" not in fields:
                yield PassedStep(
                    fields["step"],
                    fields["event"],
                    fields.get("source"),
                    fields.get("target"),
                    fields.get("after", ()),
                )
