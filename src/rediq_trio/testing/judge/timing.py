"""Promise 3 for single tasks: none starts too early or too late.

A task must be claimed when it is due, before it expires, and after the tasks that it needs have
completed. A start is observed some time after its claim. So a start before the due time is always
wrong. A start after the expiry is wrong only if the claim was certainly late too: if, after the
expiry, the task was seen waiting, or its worker was started, or it was started before. Other late
claims are missed, and so are attempts before the backoff was over.
"""

from __future__ import annotations

from collections.abc import Iterator

from rediq_trio.testing.judge.accounting import id_was_reused, may_be_gone
from rediq_trio.testing.judge.clock import ServerClock
from rediq_trio.testing.judge.observed import NEVER, SECOND, Call, Observed, ObservedTask, Start
from rediq_trio.testing.judge.once import completing
from rediq_trio.testing.judge.verdict import BrokenPromise, history_lines


def judge_times(observed: Observed) -> Iterator[BrokenPromise]:
    """Find starts that were too early or too late."""
    clock = ServerClock.of(observed)
    for task in observed.tasks.values():
        if not task.starts or not task.args:
            continue
        yield from _too_early(observed, clock, task)
        yield from _before_its_new_time(observed, clock, task)
        yield from _too_late(observed, clock, task)
        yield from _before_needs(observed, task)


def claimed_from(observed: Observed, task: ObservedTask, start: Start) -> float:
    """Return an instant before which the claim of a start certainly did not happen.

    The claim was after those of earlier fences, but not always after their starts, because their
    workers may have been slower. For an id that may have had two tasks, only its own start counts.
    """
    once = not id_was_reused(task)
    found = [call.at for call in task.enqueues[:1]]
    for other in task.starts if once else [start]:
        process = observed.processes.get(other.process)
        if process is not None and other.fence <= start.fence:
            found.append(process.boot)
    for call in task.calls if once else ():
        info = call.answer if call.op == "info" and call.known and call.at < start.at else None
        if info and info["deliveries"] < start.fence:
            found.append(call.at)
    return max(found, default=-NEVER)


def _too_early(
    observed: Observed, clock: ServerClock, task: ObservedTask
) -> Iterator[BrokenPromise]:
    calls = task.orders
    delays = [call.args.get("due_s") or 0.0 for call in calls]
    if not calls or min(delays) <= 0:
        return
    first = task.starts[0]
    if any(call.at < first.at for call in task.hurried):
        return  # it is due at another time
    due = min(call.at + delay * SECOND for call, delay in zip(calls, delays, strict=True))
    spare = clock.tolerance(min(call.at for call in calls), first.at)
    if first.at < due - spare * SECOND:
        early = (due - first.at) / SECOND
        history = history_lines(observed, (*calls, first))
        yield BrokenPromise(
            3,
            task.id,
            f"started at least {early:.3f} s before it was due",
            history,
            forgivable=False,
        )


def _before_its_new_time(
    observed: Observed, clock: ServerClock, task: ObservedTask
) -> Iterator[BrokenPromise]:
    """Check that a task that was put off, and never hurried, did not start before its new time."""
    calls, final = task.hurried, task.final
    if len(calls) != 1 or final is None or final.crashes or id_was_reused(task):
        return
    (call,) = calls
    if call.op != "reschedule" or not call.known or call.answer != "scheduled":
        return
    assert call.back is not None
    due = call.at + call.args["delay_s"] * SECOND
    for start in task.starts:
        # An attempt that was claimed before the call has a start, and an end, before it.
        spare = clock.tolerance(call.at, start.at)
        if call.back < start.at < due - spare * SECOND:
            early = (due - start.at) / SECOND
            said = f"started at least {early:.3f} s before the time that it was put off to"
            # A failover may forget that it was put off: then it is due when it was before.
            forgotten = start.at >= _first_due(task) - spare * SECOND
            history = history_lines(observed, (*task.calls, start))
            yield BrokenPromise(3, task.id, said, history, forgivable=forgotten)
            return


def _first_due(task: ObservedTask) -> float:
    """Return when a task is due as it was enqueued, at the earliest."""
    dues = [call.at + (call.args.get("due_s") or 0.0) * SECOND for call in task.orders]
    return min(dues, default=-NEVER)


def _too_late(
    observed: Observed, clock: ServerClock, task: ObservedTask
) -> Iterator[BrokenPromise]:
    calls = task.orders
    bounds = [_expiry(call) for call in calls]
    if not bounds or max(bounds) == NEVER:
        return
    over = max(bounds)
    for start in task.starts:
        if any(call.at < start.at for call in task.of("retry")):
            return  # a revival drops the expiry
        claimed = claimed_from(observed, task, start)
        spare = clock.tolerance(min(call.at for call in calls), start.at)
        if claimed > over + spare * SECOND:
            late = (claimed - over) / SECOND
            seen = (*calls, *(c for c in task.calls if c.op == "info"), *task.starts)
            yield BrokenPromise(
                3, task.id, f"was claimed at least {late:.3f} s after it had expired",
                history_lines(observed, seen),
            )  # fmt: skip
            return


def _expiry(call: Call) -> float:
    """Return the latest instant at which a task of this enqueue had not expired."""
    lasts = [call.args[name] for name in ("expires_s", "deadline_s") if call.args.get(name)]
    if not lasts or call.back is None or call.error:
        return NEVER  # the time at which it took effect is unknown
    return call.back + float(min(lasts)) * SECOND


def _before_needs(observed: Observed, task: ObservedTask) -> Iterator[BrokenPromise]:
    """Check that the first start was after the completion of each task that it needs."""
    if task.args.get("on_dependency_failure") == "run":
        return
    first = task.starts[0]
    for ref in task.args.get("depends_on") or ():
        need = observed.tasks.get(ref)
        if need is None or need.final is None or may_be_gone(observed, need):
            continue
        fence = completing(need)
        end = next((e for e in need.ends if e.fence == fence and e.ended_as == "success"), None)
        if fence is None:
            said = f"started, and {ref}, which it needs, is {need.final.state}"
        elif end is not None and end.at > first.at:
            said = f"started before {ref}, which it needs, had completed"
        else:
            continue
        seen = (*task.enqueues, first, *need.starts, *need.ends, need.final)
        yield BrokenPromise(3, task.id, said, history_lines(observed, seen))
