"""Promises 1 and 2 for tasks that were moved to another queue: each arrives, and arrives once.

A moved task has another id, which its caller may never learn. So the bench writes the id that a task
had at first into its metadata, and a task that says another one was moved. Each task is moved
once at most, and no call names it after that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from rediq_trio.testing.judge.accounting import may_be_purged, may_delete, may_move, proofs_of
from rediq_trio.testing.judge.observed import Observation, Observed, ObservedTask
from rediq_trio.testing.judge.verdict import BrokenPromise, history_lines


def judge_moves(observed: Observed) -> Iterator[BrokenPromise]:
    """Find moved tasks that did not arrive, arrived twice, or were moved though nobody asked."""
    arrived: defaultdict[str, dict[str, Observation]] = defaultdict(dict)
    for task in observed.tasks.values():
        for each in (*task.finals, *task.starts):
            if each.moved_from:
                arrived[each.moved_from][task.id] = each
    for task_id in arrived.keys() | {t.id for t in observed.tasks.values() if t.of("requeue")}:
        task = observed.task(task_id)
        said = _wrong(observed, task, arrived.get(task_id, {}))
        if said:
            seen = (*task.calls, *task.finals, *arrived.get(task_id, {}).values())
            yield BrokenPromise(said[0], task_id, said[1], history_lines(observed, seen))


def _wrong(
    observed: Observed, task: ObservedTask, places: dict[str, Observation]
) -> tuple[int, str] | None:
    asked = any(may_move(call) for call in task.calls)
    if places and not asked:
        return 1, f"is {', '.join(sorted(places))} now, though nobody moved it"
    if len(places) > 1:
        return 2, f"was moved once, and is {' and '.join(sorted(places))} now"
    if places and task.finals:
        return 2, f"was moved and is {', '.join(places)} now, and is there still"
    if places or task.finals or any(may_delete(call) for call in task.calls):
        return None
    confirmed = observed.forgetful and observed.confirmed
    if asked and proofs_of(task, confirmed=confirmed) and not may_be_purged(observed, task):
        return 1, "was there, was moved, and did not arrive"
    return None
