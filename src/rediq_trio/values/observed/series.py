"""The series of a queue, as users read them."""

from __future__ import annotations

import datetime as dt

import attrs


@attrs.frozen(kw_only=True)
class SeriesPoint:
    """The numbers of a queue in one step of a series."""

    at: dt.datetime
    """The end of the step."""
    enqueued: int
    """Tasks enqueued in the step."""
    completed: int
    """Tasks completed in the step."""
    failed: int
    """Attempts that failed in the step, including those that were retried."""
    deaths: int
    """Tasks that went to dead in the step."""
    pending: int
    """Tasks that were pending at the end of the step; the states below likewise."""
    scheduled: int
    active: int
    retry: int
    blocked: int
    grouped: int
    dead: int
    oldest_pending_age: float
    """Seconds for which the oldest pending task had been due at the end of the step, to a second; 0
    if none was pending. The first task of each priority is compared."""


@attrs.frozen(kw_only=True)
class SeriesGap:
    """A time in which nobody sampled the queue, with what is known to have happened in it."""

    since: dt.datetime
    until: dt.datetime
    enqueued: int
    completed: int
    failed: int
    deaths: int


@attrs.frozen(kw_only=True)
class Series:
    """The numbers of a queue over time, at equal steps."""

    step: float
    """Seconds from one point to the next: 10, 60 or 600."""
    points: tuple[SeriesPoint, ...]
    """The oldest first; none within a gap."""
    gaps: tuple[SeriesGap, ...]
    """The oldest first. The partitions of a queue may have gaps that overlap."""
