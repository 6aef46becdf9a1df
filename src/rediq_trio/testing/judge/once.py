"""Promise 2: what the queue does itself, it does once.

A task completes once, its children are enqueued once, a member is in one batch, and a tick enqueues
one task. A completed task never runs again, so the attempt of its last delivery completed it. Every
other successful attempt was refused, because its lease was over, and counted as a crash.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from rediq_trio.testing.judge.accounting import BatchesOf, batches_of, id_was_reused, may_be_gone
from rediq_trio.testing.judge.observed import End, Observed, ObservedTask
from rediq_trio.testing.judge.ticks import judge_ticks
from rediq_trio.testing.judge.verdict import BrokenPromise, history_lines


def abandoned(observed: Observed, end: End) -> bool:
    """Return whether a stopping worker may have released the task before its handler ended."""
    process = observed.processes.get(end.process)
    return process is not None and process.stopping and end.at > process.last_start


def completing(task: ObservedTask) -> int | None:
    """Return the fence that completed the task; None if it is not completed, or gone."""
    final = task.final
    return final.deliveries if final is not None and final.state == "completed" else None


def judge_once(observed: Observed) -> Iterator[BrokenPromise]:
    """Find what was done twice, or not at all."""
    held = batches_of(observed)
    for task in observed.tasks.values():
        if task.ends and not id_was_reused(task):
            yield from _completions(observed, task)
            yield from _children(observed, task)
        if task.id in held:
            yield from _member(observed, task, held)
        if any(each.members for each in (*task.starts, *task.finals)):
            yield from _same_members(observed, task)
    yield from _totals(observed)
    yield from judge_ticks(observed)


def _completions(observed: Observed, task: ObservedTask) -> Iterator[BrokenPromise]:
    successes = [end for end in task.ends if end.ended_as == "success"]
    fences = {end.fence for end in successes}
    if len(fences) < len(successes):
        history = history_lines(observed, (*task.starts, *successes, *task.finals))
        yield BrokenPromise(2, task.id, "succeeded twice under one fence", history)
        return
    final = task.final
    if final is None or task.revived:
        return
    refused = [
        end for end in successes if end.fence < final.deliveries and not abandoned(observed, end)
    ]
    if len(refused) > final.crashes:
        yield BrokenPromise(
            2,
            task.id,
            f"ran again after a success: {len(refused)} successes before the last delivery, and "
            f"{final.crashes} leases that lapsed",
            history_lines(observed, (*task.starts, *successes, final)),
        )


def _children(observed: Observed, task: ObservedTask) -> Iterator[BrokenPromise]:
    final = task.final
    if final is None or final.state == "active":
        return
    counted = completing(task)
    for end in task.ends:
        for child in end.children if end.ended_as == "success" else ():
            known = observed.tasks.get(child)
            there = known is not None and bool(known.finals or known.starts)
            if end.fence == counted and not there:
                if known is None or not may_be_gone(observed, known):
                    history = history_lines(observed, (end, final))
                    yield BrokenPromise(
                        2, task.id, f"completed, and its child {child} is missing", history
                    )
            elif end.fence != counted and known is not None and there:
                seen = (end, final, *known.starts, *known.finals)
                yield BrokenPromise(
                    2, task.id, f"its child {child} came from an attempt that did not complete it",
                    history_lines(observed, seen),
                )  # fmt: skip


def _member(observed: Observed, task: ObservedTask, held: BatchesOf) -> Iterator[BrokenPromise]:
    places = len(held[task.id]) + bool(task.finals)
    if task.enqueues and places > len(task.enqueues):
        holders = sorted(held[task.id])
        seen = [*task.calls, *task.finals]
        for holder in holders:
            known = observed.tasks[holder]
            seen += [*known.starts[:1], *known.finals]
        where = " and ".join([*holders, *(["its group"] if task.finals else [])])
        said = f"was enqueued {len(task.enqueues)} times and is in {where}"
        yield BrokenPromise(2, task.id, said, history_lines(observed, seen))


def _same_members(observed: Observed, task: ObservedTask) -> Iterator[BrokenPromise]:
    seen = (*task.starts, *task.finals)
    if len({frozenset(each.members) for each in seen}) > 1:
        yield BrokenPromise(
            2, task.id, "a batch whose members change", history_lines(observed, seen)
        )
    elif any(len({*each.members}) < len(each.members) for each in seen):
        yield BrokenPromise(
            2, task.id, "a batch that holds a task twice", history_lines(observed, seen)
        )


def _totals(observed: Observed) -> Iterator[BrokenPromise]:
    """Compare the totals of the queues with the tasks, to find completions that counted twice."""
    there: defaultdict[str, int] = defaultdict(int)
    gone: defaultdict[str, int] = defaultdict(int)
    for task in observed.tasks.values():
        if completing(task) is not None:
            there[task.queue] += 1
        elif not task.finals:
            gone[task.queue] += any(end.ended_as == "success" for end in task.ends)
        if len(task.of("enqueue")) > 1 and any(call.op == "delete" for call in task.calls):
            gone[task.queue] += len(
                task.of("enqueue")
            )  # it may have been enqueued again under its id
    for queue in observed.queues:
        counters, name = queue["counters"], queue["name"]
        total = counters.get("completed_total", counters.get("completed", 0))
        if not there[name] <= total <= there[name] + gone[name]:
            most = f" to {there[name] + gone[name]}" if gone[name] else ""
            yield BrokenPromise(
                2, name, f"counts {total} completions, and {there[name]}{most} tasks completed",
                forgivable=False,
            )  # fmt: skip
