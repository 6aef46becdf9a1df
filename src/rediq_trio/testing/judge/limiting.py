"""Promise 3 for limits: no more tasks run at once, or start in any window, than a limit allows.

The check is sound, but not complete. For concurrency it counts attempts that certainly held their
lease from start to end: those of tasks that never lost a lease, and the attempt that completed a
task. For a rate it only knows two instants between which a claim happened. A window breaks the rate
if more claims are certainly in it than the generic cell rate algorithm allows, `1 + (length +
tolerance) / interval`. So it misses an excess between claims and starts, or in attempts that may have
lost their lease.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rediq_trio.spec.records import Limit
from rediq_trio.testing.judge.clock import DRIFT, SLACK, ServerClock
from rediq_trio.testing.judge.observed import NEVER, SECOND, End, Observed, ObservedTask, Start
from rediq_trio.testing.judge.once import abandoned, completing
from rediq_trio.testing.judge.timing import claimed_from
from rediq_trio.testing.judge.verdict import BrokenPromise, history_lines

LimitedRun = tuple[Start, End]
Claim = tuple[float, float, Start]
"""The claim of a start, which happened between two instants."""


def judge_limits(observed: Observed) -> Iterator[BrokenPromise]:
    """Find starts that exceed a limit."""
    lanes: defaultdict[tuple[str, str], list[ObservedTask]] = defaultdict(list)
    for task in observed.tasks.values():
        keys = {call.args.get("limit_key") or "" for call in task.orders}
        if len(keys) == 1 and task.starts and (key := keys.pop()):
            lanes[task.queue, key].append(task)
    clock = ServerClock.of(observed)
    for (queue, key), tasks in lanes.items():
        limit = observed.setup.limits.get(key, {})
        subject = f"limit {key} of {queue}"
        if most := limit.get("concurrency"):
            runs = [run for task in tasks for run in held_runs(observed, task)]
            yield from _too_many(observed, subject, runs, most)
        if rate := limit.get("rate"):
            claims = [
                (claimed_from(observed, task, start), start.at, start)
                for task in tasks
                for start in task.starts
            ]
            yield from _too_fast(observed, clock, subject, claims, rate)


def held_runs(observed: Observed, task: ObservedTask) -> Iterator[LimitedRun]:
    """Return the attempts that certainly held their lease from start to end."""
    final = task.final
    if final is None:
        return
    never_lapsed = final.crashes == 0 and not task.revived
    ends = {end.fence: end for end in task.ends if end.reason != "lease lost"}
    for start in task.starts:
        end = ends.get(start.fence)
        if end is None or abandoned(observed, end):
            continue
        if never_lapsed or start.fence == completing(task):
            yield start, end


def _too_many(
    observed: Observed, subject: str, runs: Iterable[LimitedRun], most: int
) -> Iterator[BrokenPromise]:
    # At one instant, ends come before starts.
    changes = [(start.at, 1, start, end) for start, end in runs if start.at < end.at]
    changes += [(end.at, -1, start, end) for _, _, start, end in list(changes)]
    now: dict[int, LimitedRun] = {}
    for _, change, start, end in sorted(changes, key=lambda each: each[:2]):
        if change < 0:
            del now[id(start)]
            continue
        now[id(start)] = (start, end)
        if len(now) > most:
            seen = [each for run in now.values() for each in run]
            said = f"{len(now)} attempts held their leases at once, and {most} may"
            yield BrokenPromise(3, subject, said, _of(observed, seen))
            return


def _of(observed: Observed, seen: Sequence[Start | End]) -> tuple[str, ...]:
    ordered = sorted(seen, key=lambda each: each.at)
    return tuple(
        f"{each.id} {line.strip()}" for each in ordered for line in history_lines(observed, [each])
    )


def _too_fast(
    observed: Observed, clock: ServerClock, subject: str, claims: list[Claim], rate: Sequence[Any]
) -> Iterator[BrokenPromise]:
    count, period, burst = rate
    limit = Limit(count=count, period_ms=round(period * 1000), burst=burst)
    interval = limit.interval_us / 1e6 * (1 - DRIFT) * SECOND
    at_once = 1 + limit.tolerance_us / limit.interval_us
    claims.sort(key=lambda claim: claim[1])
    windows = Windows([begin for begin, _, _ in claims], interval)
    for rank, (begin, end, _) in enumerate(claims):
        windows.add(begin)
        most, first = windows.fullest()
        # The cheap test first: it decides nearly all windows. Jumps of the clock are slow to find.
        spare = (SLACK * SECOND) / interval
        if most - end / interval <= at_once + spare:
            continue
        jumped = clock.tolerance(first, end) * SECOND / interval
        if most - end / interval <= at_once + jumped:
            continue
        inside = [start for at, _, start in claims[: rank + 1] if at >= first]
        said = (
            f"{len(inside)} starts within {(end - first) / SECOND:.3f} s, and {count} in "
            f"{period:g} s with a burst of {burst} may"
        )
        yield BrokenPromise(3, subject, said, _of(observed, inside))
        return


class Windows:
    """All windows that end now, by their begin; finds the fullest one.

    It is a tree over the begins of windows. A claim counts in each window that begins no later than
    it, so a node stores how many claims were added below it, and the maximum of count plus begin.
    """

    def __init__(self, begins: Sequence[float], interval: float) -> None:
        self._begins = sorted({*begins})
        self._rank = {begin: rank for rank, begin in enumerate(self._begins)}
        self._interval = interval
        self._size = 1 << max(0, len(self._begins) - 1).bit_length()
        self._added = [0] * (2 * self._size)
        self._best = [-NEVER] * (2 * self._size)

    def add(self, begin: float) -> None:
        """Count a claim that certainly came after `begin`."""
        node = self._size + self._rank[begin]
        self._added[node] += 1
        self._best[node] = self._added[node] + begin / self._interval
        while node > 1:
            node //= 2
            left, right = 2 * node, 2 * node + 1
            self._added[node] = self._added[left] + self._added[right]
            self._best[node] = max(self._best[right], self._best[left] + self._added[right])

    def fullest(self) -> tuple[float, float]:
        """Return the maximum of claims plus begin in intervals, and the begin of that window."""
        node = 1
        while node < self._size:
            node *= 2
            if self._best[node] + self._added[node + 1] < self._best[node + 1]:
                node += 1
        return self._best[1], self._begins[node - self._size]
