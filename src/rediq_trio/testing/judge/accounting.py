"""Promise 1: no acknowledged task is lost, and every task was asked for.

A task existed if an enqueue created it or named it as the holder of its unique key, if another call
found it, or if a handler of it started. Such a task must exist at the end, unless it was deleted, a
batch holds it, or its retention was shorter than the run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from rediq_trio.testing.judge.observed import SECOND, Call, End, Observation, Observed, ObservedTask
from rediq_trio.testing.judge.verdict import BrokenPromise, history_lines

BatchesOf = Mapping[str, frozenset[str]]
"""Member -> the batches that hold it, as observed."""
ParentsOf = Mapping[str, list[End]]
"""Child -> the ends of attempts that enqueued it."""

DEFAULT_RETENTION = 3600.0
PROVING = ("info", "cancel", "retry", "run_now", "reschedule", "update", "requeue")
"""Operations whose answer proves that the task existed."""


def batches_of(observed: Observed) -> BatchesOf:
    """Return the batches of each member."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for task in observed.tasks.values():
        for each in (*task.starts, *task.finals):
            for member in each.members:
                found[member].add(task.id)
    return {member: frozenset(holders) for member, holders in found.items()}


def parents_of(observed: Observed) -> ParentsOf:
    """Return the ends of attempts that name each child."""
    found: defaultdict[str, list[End]] = defaultdict(list)
    for task in observed.tasks.values():
        for end in task.ends:
            for child in end.children:
                found[child].append(end)
    return found


def may_delete(call: Call) -> bool:
    """Return whether a call may have deleted its task."""
    if call.op != "delete":
        return False
    return call.may_have_happened or (call.known and call.answer not in (None, False, "active"))


def may_move(call: Call) -> bool:
    """Return whether a call may have moved its task to another queue, where it has another id."""
    if call.op != "requeue" or call.void:
        return False
    return call.may_have_happened or (call.known and call.answer is not None)


def may_be_gone(observed: Observed, task: ObservedTask) -> bool:
    """Return whether a task may have been deleted, moved or purged."""
    if any(may_delete(call) or may_move(call) for call in task.calls):
        return True
    return may_be_purged(observed, task)


def may_be_purged(observed: Observed, task: ObservedTask) -> bool:
    """Return whether a task may have been removed because its retention was over."""
    retention = task.args.get("retention")
    retention_s = DEFAULT_RETENTION if retention is None else retention
    return bool(task.args) and retention_s < (observed.ended - observed.begun) / SECOND


def id_was_reused(task: ObservedTask) -> bool:
    """Return whether the id may have been used twice, so that its fences started again at 1.

    An enqueue without an answer may be carried out late, after the task was deleted or batched.
    """
    gone = task.args.get("group") or any(may_delete(call) for call in task.calls)
    return len(task.enqueues) > 1 and bool(gone or task.args.get("retention") == 0)


def proofs_of(task: ObservedTask, *, confirmed: bool = False) -> list[Observation]:
    """Return the observations that prove that a task existed.

    `confirmed` leaves only those that replicas had confirmed: a task whose enqueue was not confirmed
    may be lost with its master, even if it was seen.
    """
    found: list[Observation] = [
        call for call in task.calls if call.created or call.holder == task.id
    ]
    if confirmed:
        return found
    found += task.held
    found += [c for c in task.calls if c.op in PROVING and c.known and c.answer is not None]
    return [*found, *task.starts]


def judge_accounts(observed: Observed) -> Iterator[BrokenPromise]:
    """Find tasks that were lost, tasks that nobody asked for, and violations by the queues' check."""
    held, named = batches_of(observed), parents_of(observed)
    for task in observed.tasks.values():
        confirmed = observed.forgetful and observed.confirmed
        proofs = [] if task.finals else proofs_of(task, confirmed=confirmed)
        if proofs and task.id not in held and not may_be_gone(observed, task):
            yield _lost(observed, task, proofs)
        if len(task.finals) > 1:
            states = " and ".join(each.state for each in task.finals)
            history = history_lines(observed, task.finals)
            yield BrokenPromise(1, task.id, f"is there {len(task.finals)} times: {states}", history)
        if task.id in held or task.finals or task.starts:
            yield from _phantom(observed, task, task.id in named)
    for queue in observed.queues:
        for wrong in queue.get("violations") or ():
            yield BrokenPromise(1, queue["name"], f"its own check found: {wrong}", forgivable=False)


def _lost(observed: Observed, task: ObservedTask, proofs: list[Observation]) -> BrokenPromise:
    outlives = observed.forgetful and observed.confirmed
    evidence = {id(each): each for each in (*task.of("enqueue"), *proofs, *task.ends)}
    return BrokenPromise(
        6 if outlives else 1,
        task.id,
        "was there, and is not there at the end, though nobody deleted it",
        history_lines(observed, evidence.values()),
        forgivable=not outlives,
    )


def _phantom(observed: Observed, task: ObservedTask, is_child: bool) -> Iterator[BrokenPromise]:
    seen = (*task.starts, *task.finals)
    made = any(each.members or each.schedule or each.moved_from for each in seen)
    explained = is_child or task.enqueues or made
    if not explained:
        yield BrokenPromise(
            1,
            task.id,
            "is there, though no enqueue, parent, batch or tick made it",
            history_lines(observed, (*task.calls, *seen)),
            forgivable=False,
        )
