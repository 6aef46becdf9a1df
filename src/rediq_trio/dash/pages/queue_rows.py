"""What a queue looks like in a row: its mark, its numbers, its last hour."""

from __future__ import annotations

import datetime as dt

from rediq_trio.dash.seen import Seen
from rediq_trio.dash.text import TableRow, TextSpan, bar, short, sparkline
from rediq_trio.observe.alerts import LATE, Severity
from rediq_trio.observe.views import QueueView, drains_in, rate_of, slots_of
from rediq_trio.observe.words import duration, rate
from rediq_trio.values.chance import utc_now

HOUR_CELLS = 11
"""Columns of the last hour."""


def number(value: int, cells: int = 7, role: str = "") -> TextSpan:
    """Return a number for a cell; zero is faint."""
    return TextSpan(short(value, cells), role if value else "faint")


def rate_here(seen: Seen, queue: QueueView) -> float:
    """Return the completed tasks in a second, over the last minute."""
    return rate_of(seen.series.get(queue.name), queue)


def pending_hour(seen: Seen, queue: QueueView, cells: int = HOUR_CELLS) -> str:
    """Return how many tasks were pending in the last hour, as a line."""
    series = seen.series.get(queue.name)
    return sparkline([point.pending for point in series.points] if series else [], cells)


def running(seen: Seen, queue: QueueView) -> TextSpan:
    """Return what runs of the slots, with a bar."""
    active, slots = queue.stats.active, 0
    if seen.view is not None:
        slots = slots_of(seen.view, queue.name)
    if not slots:
        return TextSpan(
            "     –" if not active else f"{active:>4}/–", "faint" if not active else "bad"
        )
    text = f"{short(active, 4)}/{short(slots, 4)}".rjust(6)
    return TextSpan(f"{text} {bar(active / slots)}", "active" if active else "faint")


def oldest(queue: QueueView) -> TextSpan:
    """Return for how long the oldest pending task has waited."""
    if not queue.stats.pending:
        return TextSpan("–", "faint")
    age = queue.stats.oldest_pending_age
    late = age > (queue.stats.targets.latency or LATE)
    return TextSpan(brief(age), "warning" if late and not queue.stats.paused else "")


def _p95(seen: Seen, queue: QueueView) -> TextSpan:
    """Return how long 95 of 100 attempts of the last minutes had waited."""
    if (wait := seen.waits.get(queue.name)) is None:
        return TextSpan("–", "faint")
    target = queue.stats.targets.latency
    return TextSpan(brief(wait), "warning" if target is not None and wait > target else "")


def mark_of(seen: Seen, queue: QueueView) -> TextSpan:
    """Return the worst that is wrong with a queue, as a mark."""
    if queue.stats.paused:
        return TextSpan("‖", "paused")
    found = [alert.severity for alert in seen.alerts if alert.subject == queue.name]
    if Severity.CRITICAL in found:
        return TextSpan("▲", "bad")
    return TextSpan("△", "warning") if found else TextSpan(" ")


def drains(seen: Seen, queue: QueueView) -> str:
    """Return in how long nothing is pending, if all goes on so, in one unit."""
    found = drains_in(queue, seen.series.get(queue.name), rate_here(seen, queue))
    return " ".join(found.split(" ")[:2])


def wrong(seen: Seen, queue: QueueView) -> str:
    """Return what is wrong with a queue, in a few words."""
    if queue.stats.paused:
        by = f"by {queue.stats.paused_by}: " if queue.stats.paused_by else "paused "
        return f"{by}{queue.stats.paused_reason}"
    return next((alert.text for alert in seen.alerts if alert.subject == queue.name), "")


def row_of(seen: Seen, queue: QueueView) -> TableRow:
    """Return a queue as a row of the overview."""
    speed = rate_here(seen, queue)
    target = queue.stats.targets.latency
    return TableRow(
        queue.name,
        (
            TextSpan(queue.name),
            TextSpan(pending_hour(seen, queue), "pending"),
            number(queue.stats.pending),
            running(seen, queue),
            number(queue.stats.retry, 6, "retry"),
            number(queue.stats.dead, 6, "dead"),
            TextSpan(rate(speed), "" if speed else "faint"),
            oldest(queue),
            _p95(seen, queue),
            TextSpan("–" if target is None else brief(target), "second"),
            TextSpan(drains(seen, queue), "second"),
            TextSpan(wrong(seen, queue), "second"),
        ),
        mark_of(seen, queue),
    )


def at_clock(at: dt.datetime) -> str:
    """Return the time of day in UTC: "12:03:11"."""
    return at.astimezone(dt.UTC).strftime("%H:%M:%S")


def ago(at: dt.datetime) -> str:
    """Return for how long something has been, in one unit."""
    return brief(max(0.0, (utc_now() - at).total_seconds()))


def until(at: dt.datetime) -> str:
    """Return how long it is until an instant, in one unit."""
    return brief(max(0.0, (at - utc_now()).total_seconds()))


def brief(seconds: float) -> str:
    """Return seconds in the larger unit of `duration` alone: "3 min" for "3 min 20 s"."""
    return " ".join(duration(seconds).split(" ")[:2])
