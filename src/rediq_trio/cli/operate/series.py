"""`rediq queue series`: how the numbers of a queue have changed."""

from __future__ import annotations

import datetime as dt

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.cli.operate.session import Session
from rediq_trio.cli.statuses import DONE
from rediq_trio.observe.words import count, duration, instant, shown
from rediq_trio.values.observed.series import SeriesGap, SeriesPoint

SINCE = 300.0
"""Seconds that are shown without `--since`."""
SERIES_HEADS = (
    "until", "enqueued", "completed", "failed", "deaths", "pending", "active", "dead", "oldest",
)  # fmt: skip


async def show_series(session: Session) -> int:
    name = await session.known(session.arguments.queue)
    try:
        since = dt.timedelta(seconds=session.arguments.since)
    except OverflowError:
        raise ConfigError.of("--since", session.arguments.since, "at most 30 days") from None
    try:
        found = await session.client.queue(name).series(since)
    except ConfigError as error:
        raise ConfigError(f"--since: {error}") from None
    session.out.object(
        {"queue": name, "step": found.step, "points": found.points, "gaps": found.gaps}
    )
    session.out.table(SERIES_HEADS, [_row(point) for point in found.points])
    for gap in found.gaps:
        session.out.say(_gap_text(gap))
    if not found.points and not found.gaps:
        session.out.say(f"no samples of {shown(name)}: workers that serve it take them")
    return DONE


def _row(point: SeriesPoint) -> tuple[str, ...]:
    numbers = (point.enqueued, point.completed, point.failed, point.deaths)
    gauges = (point.pending, point.active, point.dead)
    age = duration(point.oldest_pending_age) if point.pending else "-"
    return instant(point.at), *map(count, (*numbers, *gauges)), age


def _gap_text(gap: SeriesGap) -> str:
    what = ", ".join(
        f"{count(number)} {field}"
        for field, number in attrs.asdict(gap).items()
        if field not in ("since", "until") and number
    )
    length = duration((gap.until - gap.since).total_seconds())
    end = f": {what}" if what else ""
    return f"not sampled from {instant(gap.since)} for {length}{end}"
