"""Promise 5: each task's history is linearizable against the specification.

Tasks are judged one by one. Histories that differ in nothing but ids and the lengths of
pauses have one shape and are searched once: most tasks of a run share a few shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs

from rediq_trio.spec.lifecycle import State
from rediq_trio.testing.judge import model as spec
from rediq_trio.testing.judge.accounting import families
from rediq_trio.testing.judge.linearize import ObservedCall, linearize
from rediq_trio.testing.judge.model import GONE, Model
from rediq_trio.testing.judge.observed import Observed
from rediq_trio.testing.judge.steps import Step, effect, steps_of
from rediq_trio.testing.judge.verdict import BrokenPromise, tell

MOST = 100_000
"""States that one search may visit."""
UNSEEN = 5
"""Claims beyond the last one seen of a task that is not there at the end, at most."""

Shape = tuple[tuple[object, ...], ...]


@attrs.define
class Histories:
    """Judges histories, and remembers the shapes that it has judged."""

    most: int = MOST
    _known: dict[Shape, bool | None] = attrs.field(factory=dict)

    @property
    def shapes(self) -> int:
        """How many different histories there were."""
        return len(self._known)

    def judge(self, steps: Sequence[Step]) -> bool | None:
        """Say whether the specification has such a history; None when the search was too long."""
        shape = _shape(steps)
        if shape not in self._known:
            operations = [
                ObservedCall(step.call, step.back, effect(step.kind, step.params), step.must)
                for step in steps
            ]
            found = linearize(operations, GONE, _moves(steps), most=self.most)
            self._known[shape] = found.possible
        return self._known[shape]

    def smallest(self, steps: Sequence[Step]) -> list[Step]:
        """Leave out what can be left out while the history stays impossible."""
        left = list(steps)
        shrinking = True
        while shrinking:
            shrinking = False
            for step in reversed([each for each in left if each.only_observes]):
                fewer = [each for each in left if each is not step]
                if self.judge(fewer) is False:
                    left, shrinking = fewer, True
        last = max((step.back for step in left if step.must), default=0.0)
        return [step for step in left if step.must or step.call <= last]


def _shape(steps: Sequence[Step]) -> Shape:
    times = sorted({at for step in steps for at in (step.call, step.back)})
    rank = {at: rank for rank, at in enumerate(times)}
    found = [(s.kind, s.params, rank[s.call], rank[s.back], s.must) for s in steps]
    return tuple(sorted(found, key=lambda each: (each[2], each[3], each[0], repr(each[1]))))


def _moves(steps: Sequence[Step]) -> Callable[[Model], Iterable[Model]]:
    """Give what the queue may do by itself, within what was seen of the task."""
    seen = {step.params[0] for step in steps if step.kind == "claim"}
    final = next((step.params for step in steps if step.kind == "final" and step.params), None)
    known = [step.params[2] for step in steps if step.kind == "info" and step.params]
    deliveries = max([*seen, *known], default=0) + UNSEEN
    again = _reborn(steps)
    if final and not again:
        deliveries = final[2]
    revived = any(step.kind in ("retry", "revived") for step in steps)
    # Counters only grow, but for a revival: beyond those of the end there is nothing to find.
    bound = (final[3], final[4]) if final and not revived and not again else None
    if again:
        seen = set[int]()  # of two lives each has a first fence, and one of them may be unseen

    def moves(model: Model) -> Iterable[Model]:
        found = [*spec.kept(model)]
        if model.state is State.PENDING and model.deliveries + 1 not in seen:
            found += spec.claimed(model)
        elif model.state is State.ACTIVE and model.deliveries not in seen:
            # Given back before it began, or stopped, or too late to begin.
            found += spec.settled(model, "release")
            if model.cancel:
                found += spec.settled(model, "stop")
            if model.form.strict:
                found += spec.settled(model, "bury")
        return [each for each in found if _within(each, deliveries, bound)]

    return moves


def _reborn(steps: Sequence[Step]) -> bool:
    """Say whether the task may have gone and come again."""
    births = [step for step in steps if step.kind in ("created", "enqueue")]
    forms = [step.params[0] for step in births]
    gone = any(step.kind in ("delete", "deleted") for step in steps)
    return len(births) > 1 and (gone or any(f.grouped or f.vanishes or f.purged for f in forms))


def _within(model: Model, deliveries: int, bound: tuple[int, int] | None) -> bool:
    if model.deliveries > deliveries:
        return False
    return bound is None or (model.crashes <= bound[0] and model.snoozes <= bound[1])


def judge_histories(
    observed: Observed, skip: Iterable[str], histories: Histories
) -> tuple[list[BrokenPromise], list[str]]:
    """Find the histories that the specification does not have, and those left undecided.

    `skip` names the tasks of which something is known to be wrong.
    """
    named, known = families(observed), {*skip}
    violations: list[BrokenPromise] = []
    undecided: list[str] = []
    for task in observed.tasks.values():
        if task.id in known:
            continue
        steps = steps_of(observed, task, named)
        possible = histories.judge(steps)
        if possible is None:
            undecided.append(task.id)
            said = f"its {len(steps)} operations were not decided within {histories.most:,} states"
            violations.append(
                BrokenPromise(5, task.id, said, _told(observed, steps), forgivable=False)
            )
        elif not possible:
            said = "no order of these operations is one that the specification has"
            history = _told(observed, histories.smallest(steps))
            violations.append(BrokenPromise(5, task.id, said, history))
    return violations, undecided


def _told(observed: Observed, steps: Sequence[Step]) -> tuple[str, ...]:
    seen = {id(step.seen): step.seen for step in steps if step.seen is not None}
    gone = any(step.kind == "final" and step.seen is None for step in steps)
    return (*tell(observed, seen.values()), *(("at the end: not there",) if gone else ()))
