"""Promise 3, of limits: no more at once, and no more in any window, than a limit allows.

Sound, not complete. Concurrency counts attempts that held their lease for certain, from
their start to their end: those of tasks that never lost one, and the attempt that completed
a task. Of a rate it is known only that a claim came between two instants; a window breaks
it when more claims lie in it for certain than the generic cell rate algorithm lets in,
`burst + length / interval`. So an excess is missed that lies between claims and starts,
or in attempts whose lease may have lapsed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rediq_trio.testing.judge.clock import DRIFT, SLACK, ServerClock
from rediq_trio.testing.judge.observed import NEVER, SECOND, End, Observed, ObservedTask, Start
from rediq_trio.testing.judge.once import abandoned, completing
from rediq_trio.testing.judge.timing import claimed_from
from rediq_trio.testing.judge.verdict import BrokenPromise, tell

LimitedRun = tuple[Start, End]
Claim = tuple[float, float, Start]
"""It came between the two instants."""


def judge_limits(observed: Observed) -> Iterator[BrokenPromise]:
    """Find what went beyond a limit."""
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
    """Give the attempts that certainly held their lease from start to end."""
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
    # At one instant ends come first: an attempt that is over makes room.
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
    return tuple(f"{each.id} {line.strip()}" for each in ordered for line in tell(observed, [each]))


def _too_fast(
    observed: Observed, clock: ServerClock, subject: str, claims: list[Claim], rate: Sequence[Any]
) -> Iterator[BrokenPromise]:
    count, period, burst = rate
    interval = period * (1 - DRIFT) / count * SECOND
    claims.sort(key=lambda claim: claim[1])
    windows = Windows([begin for begin, _, _ in claims], interval)
    for rank, (begin, end, _) in enumerate(claims):
        windows.add(begin)
        most, first = windows.fullest()
        # Told apart by the clock's reading and its jumps, of which the first is nearly all.
        spare = (SLACK * SECOND) / interval
        if most - end / interval <= burst + spare:
            continue
        jumped = clock.tolerance(first, end) * SECOND / interval
        if most - end / interval <= burst + jumped:
            continue
        inside = [start for at, _, start in claims[: rank + 1] if at >= first]
        said = (
            f"{len(inside)} starts within {(end - first) / SECOND:.3f} s, and {count} in "
            f"{period:g} s with a burst of {burst} may"
        )
        yield BrokenPromise(3, subject, said, _of(observed, inside))
        return


class Windows:
    """The windows that end now, each with its claims and its beginning, counted in intervals.

    A tree over the beginnings: adding a claim adds one to each window that begins no
    later than it, so a node keeps how many were added in it, and the best of it.
    """

    def __init__(self, begins: Sequence[float], interval: float) -> None:
        self._begins = sorted({*begins})
        self._place = {begin: rank for rank, begin in enumerate(self._begins)}
        self._interval = interval
        self._size = 1 << max(0, len(self._begins) - 1).bit_length()
        self._added = [0] * (2 * self._size)
        self._best = [-NEVER] * (2 * self._size)

    def add(self, begin: float) -> None:
        """Count a claim that certainly came after `begin`."""
        node = self._size + self._place[begin]
        self._added[node] += 1
        self._best[node] = self._added[node] + begin / self._interval
        while node > 1:
            node //= 2
            left, right = 2 * node, 2 * node + 1
            self._added[node] = self._added[left] + self._added[right]
            self._best[node] = max(self._best[right], self._best[left] + self._added[right])

    def fullest(self) -> tuple[float, float]:
        """Give the most that a window has, its claims and its beginning, and where it begins."""
        node = 1
        while node < self._size:
            node *= 2
            if self._best[node] + self._added[node + 1] < self._best[node + 1]:
                node += 1
        return self._best[1], self._begins[node - self._size]
