"""How often a kind of failure was seen, by the hour."""

from __future__ import annotations

import datetime as dt

from rediq_trio.values.observed.failure_kind import FailureKind

HOURS = 24
"""Hours that are drawn: the present one, and those before it."""


def hours_of(kind: FailureKind, now: dt.datetime) -> tuple[float | None, ...]:
    """Return how many failed in each of the last hours, as clocks in UTC have them, the present one last.

    None where nothing is known: the kind was seen before, and an older version counted.
    """
    present, last, first = _hour(now), _hour(kind.last_seen), _hour(kind.first_seen)
    found: list[float | None] = []
    for hour in range(present - HOURS + 1, present + 1):
        before = last - hour
        if before < 0 or hour < first:
            found.append(0.0)
        else:
            found.append(float(kind.hours[before]) if before < len(kind.hours) else None)
    return tuple(found)


def _hour(at: dt.datetime) -> int:
    return int(at.timestamp() // 3600)
