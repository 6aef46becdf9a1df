"""Promise 3, of single tasks: not before it is due, nor after it has expired, nor before what
it needs has completed.

A start is seen after the claim that it follows from, and that is what must not come too
early or too late. So a start before the due time is always wrong; one after the expiry is
only where the claim, too, was later: when the task was seen to wait, or its worker came up,
or it was started before, after the expiry. A claim that came too late and none of these
tells of is missed. So is an attempt that came before its backoff was over.
"""

from __future__ import annotations

from collections.abc import Iterator

from rediq_trio.testing.judge.accounting import may_be_gone, reborn
from rediq_trio.testing.judge.clock import ServerClock
from rediq_trio.testing.judge.observed import NEVER, SECOND, Call, Observed, ObservedTask, Start
from rediq_trio.testing.judge.once import completing
from rediq_trio.testing.judge.verdict import BrokenPromise, tell


def judge_times(observed: Observed) -> Iterator[BrokenPromise]:
    """Find starts that came too early or too late."""
    clock = ServerClock.of(observed)
    for task in observed.tasks.values():
        if not task.starts or not task.args:
            continue
        yield from _too_early(observed, clock, task)
        yield from _too_late(observed, clock, task)
        yield from _before_needs(observed, task)


def claimed_from(observed: Observed, task: ObservedTask, start: Start) -> float:
    """Give an instant before which a start was certainly not claimed.

    It was claimed after the earlier fences were, though not after they were started: their
    workers may have been slower. Of a task that may have come twice little is known.
    """
    once = not reborn(task)
    found = [call.at for call in task.enqueues[:1]]
    for other in task.starts if once else [start]:
        process = observed.processes.get(other.process)
        if process is not None and other.fence <= start.fence:
            found.append(process.boot)
    for call in task.calls if once else ():
        told = call.answer if call.op == "info" and call.known and call.at < start.at else None
        if told and told["deliveries"] < start.fence:
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
    if any(call.at < first.at for call in task.of("retry")):
        return  # a revived task is due at once
    due = min(call.at + delay * SECOND for call, delay in zip(calls, delays, strict=True))
    spare = clock.tolerance(min(call.at for call in calls), first.at)
    if first.at < due - spare * SECOND:
        early = (due - first.at) / SECOND
        history = tell(observed, (*calls, first))
        yield BrokenPromise(
            3,
            task.id,
            f"started at least {early:.3f} s before it was due",
            history,
            forgivable=False,
        )


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
                tell(observed, seen),
            )  # fmt: skip
            return


def _expiry(call: Call) -> float:
    """Give the latest instant at which a task that this call made was still alive."""
    lasts = [call.args[name] for name in ("expires_s", "deadline_s") if call.args.get(name)]
    if not lasts or call.back is None or call.error:
        return NEVER  # nobody knows when it was carried out
    return call.back + float(min(lasts)) * SECOND


def _before_needs(observed: Observed, task: ObservedTask) -> Iterator[BrokenPromise]:
    """Check against the attempt that completed each task that this one needs."""
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
        yield BrokenPromise(3, task.id, said, tell(observed, seen))
