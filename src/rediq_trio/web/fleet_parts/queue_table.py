"""The table of queues: a row of each, and what is said of its state in a few words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence

import attrs
from markupsafe import Markup

from rediq_trio.observe.alerts import RULES, Alert, Severity
from rediq_trio.observe.type_steps import WAITS_OVER, TypeSteps
from rediq_trio.observe.views import FleetView, QueueView, drains_in, rate_of, slots_of
from rediq_trio.observe.words import counted, duration, relative, share, shown
from rediq_trio.values.observed.series import Series
from rediq_trio.web.drawing.small import bullet, spark
from rediq_trio.web.drawing.small import share as share_bar
from rediq_trio.web.drawing.steps import steps_of, waiting

SPARK_STEPS = 60
_ORDER = {rule.name: n for n, rule in enumerate(RULES)}
_SILENT = ("dead",)
"""Rules whose finding the columns of the table say."""


@attrs.frozen
class QueueCondition:
    """How a queue is, in a few words with their mark."""

    shape: str
    """The mark; "" for none."""
    ink: str
    text: str
    trouble: int
    """0 for what is as it should be; the more, the sooner somebody has to look."""


@attrs.frozen(kw_only=True)
class QueueRow:
    """A row of the table."""

    name: str
    condition: QueueCondition
    view: QueueView
    slots: int
    """Slots of the workers that serve it, which they may share with other queues."""
    rate: float
    """Tasks completed in a second."""
    wait: float | None
    """How long 95 of 100 attempts of the last minutes had waited, seconds; None without any."""
    drains: str
    spark: Markup
    bullet: Markup
    bar: Markup

    @property
    def lit(self) -> str:
        """The state in whose ground the row is, of those that nobody works on; "" for none."""
        return "dead lit" if self.condition.trouble >= 1000 else ""

    @property
    def retries_grow(self) -> bool:
        """Whether more tasks wait for another try than are worked at."""
        return self.view.stats.retry > max(20, 2 * self.view.stats.active)

    @property
    def deaths(self) -> int:
        """Tasks that died of late."""
        return self.view.recent.deaths if self.view.recent else 0


SORTS: Mapping[str, Callable[[QueueRow], object]] = {
    "trouble": lambda row: (-row.condition.trouble, -row.view.stats.pending),
    "name": lambda row: row.name,
    "pending": lambda row: -row.view.stats.pending,
    "active": lambda row: -row.view.stats.active,
    "retry": lambda row: -row.view.stats.retry,
    "dead": lambda row: -row.view.stats.dead,
    "rate": lambda row: -row.rate,
    "wait": lambda row: -(row.wait or 0.0),
}
"""What rows can be sorted by; a number begins with the highest."""


def sorted_rows(rows: Sequence[QueueRow], wanted: str) -> tuple[str, list[QueueRow]]:
    """Return the sort that is used, and the rows in its order; `-KEY` is the other way round."""
    key = wanted.removeprefix("-")
    if key not in SORTS:
        key, wanted = "trouble", "trouble"
    ordered = sorted(rows, key=lambda row: row.name)
    ordered.sort(key=SORTS[key], reverse=wanted.startswith("-"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    return wanted, ordered


def queue_rows(
    view: FleetView,
    alerts: Sequence[Alert],
    series: Mapping[str, Series],
    types: Mapping[str, TypeSteps],
) -> list[QueueRow]:
    """Return a row of each queue of a view."""
    found: dict[str, list[Alert]] = {}
    for alert in alerts:
        found.setdefault(alert.subject, []).append(alert)
    return [
        _row(view, queue, found.get(queue.name, []), series.get(queue.name), types.get(queue.name))
        for queue in view.queues
    ]


def _row(
    view: FleetView,
    queue: QueueView,
    alerts: Sequence[Alert],
    series: Series | None,
    types: TypeSteps | None,
) -> QueueRow:
    condition = condition_of(queue, alerts, view.at)
    wait = None if types is None else types.lately(WAITS_OVER).wait
    slots = slots_of(view, queue.name)
    rate = rate_of(series, queue)
    values = (
        [float(waiting(each.states)) for each in steps_of(series, SPARK_STEPS)] if series else []
    )
    ink = condition.ink if condition.trouble >= 10 else "plain"
    return QueueRow(
        name=queue.name,
        condition=condition,
        view=queue,
        slots=slots,
        rate=rate,
        wait=wait.p95 if wait else None,
        drains=drains_in(queue, series, rate),
        spark=spark(values, ink, width=150, height=18),
        bullet=bullet(wait.p95, queue.stats.targets.latency) if wait else Markup(),
        bar=share_bar(queue.stats.active, slots),
    )


def condition_of(queue: QueueView, alerts: Sequence[Alert], now: dt.datetime) -> QueueCondition:
    """Return how a queue is: the worst of its alerts, or that it works."""
    said = [each for each in alerts if each.rule not in _SILENT]
    if queue.stats.paused:
        words = paused_words(queue, now)
        if any(each.rule == "no-worker" for each in said):
            words += "; no worker serves it"
        return QueueCondition("off", "cancelled", words, 500)
    if not said:
        busy = queue.stats.active or queue.waiting
        return QueueCondition("", "", "works" if busy else "idle", 0)
    worst = min(said, key=lambda each: _ORDER[each.rule])
    critical = worst.severity is Severity.CRITICAL
    more = f" · {len(said) - 1} more" if len(said) > 1 else ""
    trouble = (1000 if critical else 100) + len(said)
    ink = "dead" if critical else "retry"
    return QueueCondition(
        "bad" if critical else "warning", ink, _short(queue, worst) + more, trouble
    )


def paused_words(queue: QueueView, now: dt.datetime, most: int = 60) -> str:
    """Return by whom a queue is paused, since when and why."""
    stats = queue.stats
    by = f" by {shown(stats.paused_by, 40)}" if stats.paused_by else ""
    since = f" {relative(stats.paused_since, now)}" if stats.paused_since else ""
    why = f": {shown(stats.paused_reason, most)}" if stats.paused_reason else ""
    return f"paused{by}{since}{why}"


def _short(queue: QueueView, alert: Alert) -> str:
    """Return what an alert says of a queue, in a few words."""
    recent = queue.recent
    match alert.rule:
        case "no-worker":
            return "no worker serves it"
        case "queue-unread":
            return "cannot be read"
        case "late":
            return f"oldest waits for {duration(queue.stats.oldest_pending_age)}"
        case "failing":
            target = queue.stats.targets.failures
            bound = f", target {share(target)}" if target else ""
            return f"{share(queue.failures or 0)} fail{bound}"
        case "type-failing":
            return "a type fails more than it did"
        case "dead-growing" if recent is not None:
            return f"{counted(recent.deaths, 'task')} died in 10 min"
        case "new-failure" if recent is not None:
            return f"{counted(len(recent.new_kinds), 'new kind')} of failure"
        case "missed-tick":
            return "a schedule is overdue"
        case _:
            return shown(alert.text, 60)
