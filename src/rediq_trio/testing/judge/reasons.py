"""Promise 4: each start after a task's first has a reason, and the counters agree with the starts.

A task that ran is ready again after its failure, its snooze, its release, a revival, or the lapse of
its lease. A lapse is a crash, which the task's record counts, and it takes the length of a lease.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from rediq_trio.spec.settle import PLAIN_OUTCOMES
from rediq_trio.testing.judge.accounting import id_was_reused
from rediq_trio.testing.judge.clock import ServerClock
from rediq_trio.testing.judge.observed import SECOND, End, Final, Observed, ObservedTask, Start
from rediq_trio.testing.judge.once import abandoned
from rediq_trio.testing.judge.timing import claimed_from
from rediq_trio.testing.judge.verdict import BrokenPromise, Duplicate, history_lines

LAPSE = "its lease lapsed"
UNKNOWN_REASON = "its lease lapsed, or its worker gave it back while it stopped"


def judge_reasons(observed: Observed) -> tuple[list[BrokenPromise], list[Duplicate]]:
    """Return the starts that nothing explains, and the explanations of all after a task's first."""
    clock = ServerClock.of(observed)
    violations: list[BrokenPromise] = []
    duplicates: list[Duplicate] = []
    for task in observed.tasks.values():
        if task.starts and id_was_reused(task):
            duplicates += _duplicates(observed, task)
        elif task.starts:
            found = list(_fences(observed, task)) or list(_counters(observed, task))
            if not found:
                found = list(_lapses(observed, clock, task))
            violations += found[:1]
            duplicates += _duplicates(observed, task)
    return violations, duplicates


def _fences(observed: Observed, task: ObservedTask) -> Iterator[BrokenPromise]:
    seen = (*task.starts, *task.ends, *task.finals)
    many = Counter(start.fence for start in task.starts)
    for fence, times in many.items():
        if times > 1:
            said = f"fence {fence} was given {times} times"
            yield BrokenPromise(4, task.id, said, history_lines(observed, seen))
    for before, after in pairwise(task.starts):
        # Two workers may start their claims in any order, but one worker keeps the order.
        if before.process == after.process and before.fence > after.fence:
            said = f"{after.process} began fence {after.fence} after fence {before.fence}"
            yield BrokenPromise(4, task.id, said, history_lines(observed, seen))


def _counters(observed: Observed, task: ObservedTask) -> Iterator[BrokenPromise]:
    final = task.final
    if final is None:
        return
    for said in _disagreements(task, final):
        yield BrokenPromise(
            4,
            task.id,
            said,
            history_lines(observed, (*task.calls, *task.starts, *task.ends, final)),
        )


def _disagreements(task: ObservedTask, final: Final) -> Iterator[str]:
    highest = max(start.fence for start in task.starts)
    if highest > final.deliveries:
        yield f"fence {highest} was started, and its record counts {final.deliveries} deliveries"
    if final.deliveries < final.attempt + final.crashes + final.snoozes:
        yield "its record counts more attempts, crashes and snoozes than deliveries"
    snoozed = sum(end.ended_as == "snooze" for end in task.ends)
    if final.snoozes > snoozed:
        yield f"its record counts {final.snoozes} snoozes, and {snoozed} were seen"
    if _is_charged_blindly(task):
        return
    failed = sum(end.failed for end in task.ends)
    charged = final.attempt - (final.state in ("active", "completed"))
    if charged > failed:
        yield f"its record charges {charged} attempts that failed, and {failed} were seen"
    most = max((call.args.get("max_retry", 3) for call in task.orders), default=None)
    if most is not None and final.attempt > most + 1:
        yield f"its record counts {final.attempt} attempts, and {most + 1} are allowed"


def _is_charged_blindly(task: ObservedTask) -> bool:
    """Return whether an attempt may fail before its handler starts, because of a deadline."""
    return any(call.args.get("deadline_s") for call in task.orders)


def _ready_again(task: ObservedTask, start: Start, end: End | None) -> str:
    """Return why the task was ready again after a start; '' if only a lapse can explain it."""
    if end is None:
        return ""
    if end.failed:
        return "the attempt failed"
    if end.ended_as == "snooze":
        return "it was snoozed"
    if end.ended_as in PLAIN_OUTCOMES:
        return f"its outcome was: {end.ended_as}"
    if end.ended_as == "cancelled" and end.reason not in ("lease lost", "cancelled"):
        return "it was released"
    return ""


def _lapses(observed: Observed, clock: ServerClock, task: ObservedTask) -> Iterator[BrokenPromise]:
    """Check the starts that only a lapse explains: their number, and the time before each."""
    final = task.final
    ends = {end.fence: end for end in task.ends}
    needed: list[Start] = []
    ordered = sorted(task.starts, key=lambda start: start.fence)
    for start, following in pairwise(ordered):
        end = ends.get(start.fence)
        if _ready_again(task, start, end) or _revived_between(task, start, following):
            continue
        if end is not None and abandoned(observed, end):
            continue
        if end is None and _stopped(observed, start):
            continue
        needed.append(start)
        claimed = claimed_from(observed, task, start)
        spare = clock.tolerance(claimed, following.at)
        if following.fence == start.fence + 1 and (
            (following.at - claimed) / SECOND + spare < observed.setup.lease
        ):
            yield BrokenPromise(
                4, task.id,
                f"fence {following.fence} was started within a lease of fence {start.fence}, "
                "which had not been released",
                history_lines(observed, (*task.calls, start, *([end] if end else []), following)),
            )  # fmt: skip
            return
    if final is not None and not task.revived and len(needed) > final.crashes:
        said = f"{len(needed)} starts are explained by lapses only, and its record counts {final.crashes}"
        yield BrokenPromise(
            4,
            task.id,
            said,
            history_lines(observed, (*task.calls, *task.starts, *task.ends, final)),
        )


def _stopped(observed: Observed, start: Start) -> bool:
    process = observed.processes.get(start.process)
    return process is None or process.stopping


def _revived_between(task: ObservedTask, start: Start, following: Start) -> bool:
    return any(call.at < following.at for call in task.of("retry"))


def _duplicates(observed: Observed, task: ObservedTask) -> Iterator[Duplicate]:
    ends = {end.fence: end for end in task.ends}
    ordered = sorted(task.starts, key=lambda start: start.fence)
    for start, following in pairwise(ordered):
        end = ends.get(start.fence)
        reason = _ready_again(task, start, end)
        if not reason and _revived_between(task, start, following):
            reason = "it was revived"
        if not reason:
            stopped = _stopped(observed, start) if end is None else abandoned(observed, end)
            reason = UNKNOWN_REASON if stopped else LAPSE
        yield Duplicate(task.id, following.fence, reason)
