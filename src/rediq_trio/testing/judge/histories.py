"""Promise 5: each task's history is linearizable against the specification.

Tasks are judged one by one. Histories that differ only in ids and in the lengths of pauses have the
same shape, and each shape is searched once. Most tasks of a run share a few shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs

from rediq_trio.spec.lifecycle import State
from rediq_trio.testing.judge import model as spec
from rediq_trio.testing.judge.accounting import parents_of
from rediq_trio.testing.judge.linearize import ObservedCall, linearize
from rediq_trio.testing.judge.model import GONE, Model
from rediq_trio.testing.judge.observed import Observed
from rediq_trio.testing.judge.steps import Step, effect, steps_of
from rediq_trio.testing.judge.verdict import BrokenPromise, history_lines

MOST = 100_000
"""States that one search visits, at most."""
UNSEEN = 5
"""How many unseen claims a task that is missing at the end may have after its last seen one."""

Shape = tuple[tuple[object, ...], ...]


@attrs.define
class Histories:
    """Judges histories, and caches the result for each shape."""

    most: int = MOST
    _known: dict[Shape, bool | None] = attrs.field(factory=dict)

    @property
    def shapes(self) -> int:
        """How many shapes were judged."""
        return len(self._known)

    def judge(self, steps: Sequence[Step]) -> bool | None:
        """Return whether the specification allows a history; None when the search was too long."""
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
        """Return the smallest part of an impossible history that is still impossible."""
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
    """Return what the queue may do by itself, within the bounds of what was seen of the task."""
    seen = {step.params[0] for step in steps if step.kind == "claim"}
    final = next((step.params for step in steps if step.kind == "final" and step.params), None)
    known = [step.params[2] for step in steps if step.kind == "info" and step.params]
    deliveries = max([*seen, *known], default=0) + UNSEEN
    again = _came_twice(steps)
    if final and not again:
        deliveries = final[2]
    revived = any(step.kind in ("retry", "revived") for step in steps)
    # Only a revival resets counters, so states with higher counters than at the end are left out.
    bound = (final[3], final[4]) if final and not revived and not again else None
    if again:
        seen = set[int]()  # the id may have two tasks, each with a first fence that may be unseen

    def moves(model: Model) -> Iterable[Model]:
        found = [*spec.after_upkeep(model)]
        if model.state is State.PENDING and model.deliveries + 1 not in seen:
            found += spec.claimed(model)
        elif model.state is State.ACTIVE and model.deliveries not in seen:
            # Released before its handler started, or stopped, or too late to start.
            found += spec.settled(model, "release")
            if model.cancel:
                found += spec.settled(model, "stop")
            if model.form.has_deadline:
                found += spec.settled(model, "bury")
        return [each for each in found if _within(each, deliveries, bound)]

    return moves


def _came_twice(steps: Sequence[Step]) -> bool:
    """Return whether the id may have had two tasks, one after the other."""
    births = [step for step in steps if step.kind in ("created", "enqueue")]
    forms = [step.params[0] for step in births]
    gone = any(step.kind in ("delete", "deleted") for step in steps)
    return len(births) > 1 and (gone or any(f.grouped or f.no_retention or f.purged for f in forms))


def _within(model: Model, deliveries: int, bound: tuple[int, int] | None) -> bool:
    if model.deliveries > deliveries:
        return False
    return bound is None or (model.crashes <= bound[0] and model.snoozes <= bound[1])


def judge_histories(
    observed: Observed, skip: Iterable[str], histories: Histories
) -> tuple[list[BrokenPromise], list[str]]:
    """Return the violations by impossible histories, and the tasks that were left undecided.

    `skip` names tasks that have a violation already.
    """
    named, known = parents_of(observed), {*skip}
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
                BrokenPromise(5, task.id, said, _history(observed, steps), forgivable=False)
            )
        elif not possible:
            said = "no order of these operations is one that the specification has"
            history = _history(observed, histories.smallest(steps))
            violations.append(BrokenPromise(5, task.id, said, history))
    return violations, undecided


def _history(observed: Observed, steps: Sequence[Step]) -> tuple[str, ...]:
    seen = {id(step.seen): step.seen for step in steps if step.seen is not None}
    gone = any(step.kind == "final" and step.seen is None for step in steps)
    return (*history_lines(observed, seen.values()), *(("at the end: not there",) if gone else ()))
