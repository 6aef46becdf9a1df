"""Promise 2, of schedules: a tick makes one task, and none is missing that had to come.

What `catch_up` says decides which ticks had to come. With "all" it is every one between
the first and the last that made a task. With "once" and "skip" the latest of those that
are due together comes, and the others never: a tick may be missing whenever nobody looked
in time, and a clock that goes ahead and back jumps over some. So only a hole is found that
is longer than `GRACE`, with no fault in it. A twin is always found.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

from rediq_trio.testing.judge.observed import NEVER, SECOND, Observation, Observed, ObservedTask
from rediq_trio.testing.judge.verdict import BrokenPromise, tell

GRACE = 60.0
"""Seconds within which a tick that "skip" has missed may still fire."""


def instant(tick: str) -> float:
    """Give a tick in seconds since 1970; it is written as ISO 8601, or in milliseconds."""
    try:
        return float(tick) / 1000
    except ValueError:
        return dt.datetime.fromisoformat(tick).timestamp()


def judge_ticks(observed: Observed) -> Iterator[BrokenPromise]:
    """Find twins, and ticks that are missing."""
    schedules: defaultdict[str, defaultdict[float, set[str]]] = defaultdict(
        lambda: defaultdict(set)
    )
    for task in observed.tasks.values():
        for each in (*task.starts, *task.finals):
            if each.schedule and each.tick:
                schedules[each.schedule][instant(each.tick)].add(task.id)
    for name, ticks in schedules.items():
        for at, ids in sorted(ticks.items()):
            if len(ids) > 1:
                seen = _seen(observed, ids)
                said = f"its tick {_shown(at)} made {len(ids)} tasks: {', '.join(sorted(ids))}"
                yield BrokenPromise(2, name, said, tell(observed, seen))
        yield from _missing(observed, name, sorted(ticks), ticks)


def _missing(
    observed: Observed, name: str, ticks: list[float], made: dict[float, set[str]]
) -> Iterator[BrokenPromise]:
    rule: Any = observed.setup.schedules.get(name)
    if rule is None:
        return
    if not isinstance(rule, dict):
        rule = {"every": rule}
    settings = cast("dict[str, Any]", rule)
    every, catch_up = float(settings["every"]), settings.get("catch_up", "skip")
    for before, after in pairwise(ticks):
        holes = round((after - before) / every) - 1
        if holes < 1:
            continue
        seen = _seen(observed, made[before] | made[after])
        length = holes * every
        if catch_up == "all" or (length > GRACE + every and _lived_through(observed, seen, length)):
            said = f"{holes} of its ticks are missing between {_shown(before)} and {_shown(after)}"
            yield BrokenPromise(2, name, said, tell(observed, seen))


def _lived_through(observed: Observed, seen: list[Observation], length: float) -> bool:
    """Say whether that many seconds passed between two observations, without a fault, and with
    nobody who came or went; and whether no clock ever jumped over them."""
    first, last = min(each.at for each in seen), max(each.at for each in seen)
    if (last - first) / SECOND < length:
        return False
    for fault in observed.faults:
        if fault.kind.startswith("clock") or (fault.begin <= last and fault.end >= first):
            return False
    changes = [p.boot for p in observed.processes.values()]
    changes += [p.exit or NEVER for p in observed.processes.values()]
    return not any(first <= at <= last for at in changes)


def _seen(observed: Observed, ids: set[str]) -> list[Observation]:
    tasks: list[ObservedTask] = [observed.tasks[task_id] for task_id in sorted(ids)]
    return [each for task in tasks for each in (task.starts[:1] or task.finals[:1])]


def _shown(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="milliseconds")
