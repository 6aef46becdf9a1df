"""Promise 1: what was acknowledged is there, and what is there was asked for.

A task was there when an enqueue made it or named it as the holder of its key, when
another call found it, or when a handler of it began. Then it is there at the end, or it
was deleted, or a batch holds it, or its retention was shorter than the run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from rediq_trio.testing.judge.observed import SECOND, Call, End, Observation, Observed, ObservedTask
from rediq_trio.testing.judge.verdict import BrokenPromise, tell

Batches = Mapping[str, frozenset[str]]
"""For each member the batches that were seen to hold it."""
Families = Mapping[str, list[End]]
"""For each child the ends that name it."""

DEFAULT_RETENTION = 3600.0


def batches(observed: Observed) -> Batches:
    """Say which batches hold which tasks."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for task in observed.tasks.values():
        for each in (*task.starts, *task.finals):
            for member in each.members:
                found[member].add(task.id)
    return {member: frozenset(holders) for member, holders in found.items()}


def families(observed: Observed) -> Families:
    """Say which attempts name which children."""
    found: defaultdict[str, list[End]] = defaultdict(list)
    for task in observed.tasks.values():
        for end in task.ends:
            for child in end.children:
                found[child].append(end)
    return found


def deletes(call: Call) -> bool:
    """Say whether a call may have removed its task."""
    if call.op != "delete":
        return False
    return call.may_have_happened or (call.known and call.answer not in (None, False, "active"))


def may_be_gone(observed: Observed, task: ObservedTask) -> bool:
    """Say whether a task may have been deleted, or purged."""
    if any(deletes(call) for call in task.calls):
        return True
    retention = task.args.get("retention")
    kept = DEFAULT_RETENTION if retention is None else retention
    return bool(task.args) and kept < (observed.ended - observed.begun) / SECOND


def reborn(task: ObservedTask) -> bool:
    """Say whether its id may have been used again, so that its fences began anew: an enqueue
    without an answer may be carried out late, when the task was deleted or is in a batch."""
    gone = task.args.get("group") or any(deletes(call) for call in task.calls)
    return len(task.enqueues) > 1 and bool(gone or task.args.get("retention") == 0)


def was_there(task: ObservedTask, *, confirmed: bool = False) -> list[Observation]:
    """Give what proves that a task was there; the last of it is told where it is missing.

    With `confirmed` only what replicas had confirmed by then: a task that was seen, and whose
    enqueue was not confirmed, may go with the master that had it.
    """
    found: list[Observation] = [
        call for call in task.calls if call.created or call.holder == task.id
    ]
    if confirmed:
        return found
    found += task.held
    found += [c for c in task.calls if c.op in ("info", "cancel", "retry") and c.known and c.answer]
    return [*found, *task.starts]


def judge_accounts(observed: Observed) -> Iterator[BrokenPromise]:
    """Find what was lost, what came from nowhere, and what the queues' own check found."""
    held, named = batches(observed), families(observed)
    for task in observed.tasks.values():
        confirmed = observed.forgetful and observed.confirmed
        proofs = [] if task.finals else was_there(task, confirmed=confirmed)
        if proofs and task.id not in held and not may_be_gone(observed, task):
            yield _lost(observed, task, proofs)
        if len(task.finals) > 1:
            states = " and ".join(each.state for each in task.finals)
            history = tell(observed, task.finals)
            yield BrokenPromise(1, task.id, f"is there {len(task.finals)} times: {states}", history)
        if task.id in held or task.finals or task.starts:
            yield from _phantom(observed, task, task.id in named)
    for queue in observed.queues:
        for wrong in queue.get("violations") or ():
            yield BrokenPromise(1, queue["name"], f"its own check found: {wrong}", forgivable=False)


def _lost(observed: Observed, task: ObservedTask, proofs: list[Observation]) -> BrokenPromise:
    outlives = observed.forgetful and observed.confirmed
    kept = {id(each): each for each in (*task.of("enqueue"), *proofs, *task.ends)}
    return BrokenPromise(
        6 if outlives else 1,
        task.id,
        "was there, and is not there at the end, though nobody deleted it",
        tell(observed, kept.values()),
        forgivable=not outlives,
    )


def _phantom(observed: Observed, task: ObservedTask, is_child: bool) -> Iterator[BrokenPromise]:
    seen = (*task.starts, *task.finals)
    explained = is_child or task.enqueues or any(each.members or each.schedule for each in seen)
    if not explained:
        yield BrokenPromise(
            1,
            task.id,
            "is there, though no enqueue, parent, batch or tick made it",
            tell(observed, (*task.calls, *seen)),
            forgivable=False,
        )
