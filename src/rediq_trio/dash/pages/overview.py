"""The overview: alerts, what all queues do, each queue, and what runs longest."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from rediq_trio.client import Client
from rediq_trio.dash.pages.failures import hidden_kind
from rediq_trio.dash.pages.page import KeyAct, Orders, ScreenPage
from rediq_trio.dash.pages.queue_acts import queue_acts
from rediq_trio.dash.pages.queue_rows import ago, at_clock, rate_here, row_of
from rediq_trio.dash.pages.running import running_lines
from rediq_trio.dash.pages.tasks import TasksPage
from rediq_trio.dash.seen import Seen
from rediq_trio.dash.text import Column, ScreenLine, TableRow, TextSpan, apart, cut, line, sparkline
from rediq_trio.observe.alerts import Alert, Severity
from rediq_trio.observe.views import QueueView
from rediq_trio.observe.words import count, rate
from rediq_trio.tasks.for_each import try_each
from rediq_trio.values.hiding import Hiding
from rediq_trio.values.observed.failure_kind import FailureKind

ALERTS_AT_TOP = 3
"""Alerts at the top of a screen of 24 lines; a higher one shows more."""
NEWEST_KINDS = 4
KINDS_READ = 20
"""Queues whose kinds of failure are read for the overview."""


class OverviewPage(ScreenPage):
    """What is known within two seconds."""

    name = "Overview"
    columns = (
        Column("QUEUE", 12),
        Column("LAST HOUR", 11),
        Column("PENDING", 7, right=True, counts=True),
        Column("RUNNING", 17, counts=True),
        Column("RETRY", 5, right=True, counts=True),
        Column("DEAD", 5, right=True, counts=True),
        Column("DONE", 6, right=True, counts=True),
        Column("OLDEST", 7, right=True),
        Column("P95", 7, right=True, since=110),
        Column("TARGET", 7, right=True, since=110),
        Column("DRAINS", 7, right=True, since=110),
        Column("", since=110),
    )
    sorts = ("what is wrong first", "name", "pending", "dead")
    least_below = 3

    def __init__(self) -> None:
        super().__init__()
        self.kinds: list[tuple[str, FailureKind]] = []
        self._names: list[str] = []

    async def read(self, client: Client, hide: Hiding) -> None:
        found, _ = await try_each(self._names, lambda name: client.queue(name).failures())
        kinds = [(name, hidden_kind(kind, hide)) for name, some in found.items() for kind in some]
        self.kinds = sorted(kinds, key=lambda one: one[1].first_seen, reverse=True)

    def head(self, seen: Seen, width: int) -> list[ScreenLine]:
        more = len(seen.alerts) - ALERTS_AT_TOP
        found = [
            alert_line(
                alert, width, seen.since.get((alert.rule, alert.subject)),
                more=more if n == ALERTS_AT_TOP - 1 else 0,
            )
            for n, alert in enumerate(seen.alerts[:ALERTS_AT_TOP])
        ]  # fmt: skip
        if seen.view is not None and not seen.alerts:
            found = [line(TextSpan(" ✓ Nothing is wrong.", "good"))]
        if seen.view is None or not seen.view.queues:
            return [*found, line(), *(empty_lines() if seen.view is not None else [])]
        return [*found, line(), totals_line(seen, width), line()]

    def rows(self, seen: Seen) -> list[TableRow]:
        queues = () if seen.view is None else seen.view.queues
        self._names = [each.name for each in queues if each.stats.failed_total][:KINDS_READ]
        return [row_of(seen, queue) for queue in self._sorted(seen, queues)]

    def _sorted(self, seen: Seen, queues: Sequence[QueueView]) -> list[QueueView]:
        worst = {alert.subject: n for n, alert in reversed([*enumerate(seen.alerts)])}
        orders: Orders[QueueView] = (
            lambda queue: (worst.get(queue.name, len(worst) + 99), queue.name),
            lambda queue: (0, queue.name),
            lambda queue: (-queue.stats.pending, queue.name),
            lambda queue: (-queue.stats.dead, queue.name),
        )
        return sorted(queues, key=orders[self.sort])

    def below(self, seen: Seen, width: int, room: int) -> list[ScreenLine]:
        workers = () if seen.view is None else seen.view.workers
        runs = running_lines(workers, width, most=max(2, room // 4))
        kinds = [kind_line(name, kind, width) for name, kind in self.kinds[:NEWEST_KINDS]]
        if room < len(kinds) + len(runs) + 5:
            return [line(), *runs][:room]
        found = [line()]
        if kinds:
            found += [line(TextSpan(" NEWEST KINDS OF FAILURE", "faint")), *kinds, line()]
        if runs:
            found += [line(TextSpan(" RUNS LONGEST", "faint")), *runs]
        return found

    def acts(self, seen: Seen) -> Sequence[KeyAct]:
        return queue_acts(lambda now: self.here(self.shown_rows(now)))

    def enter(self, seen: Seen) -> ScreenPage | None:
        name = self.here(self.shown_rows(seen))
        return TasksPage(name) if name else None


def alert_line(
    alert: Alert, width: int, since: dt.datetime | None = None, *, more: int = 0
) -> ScreenLine:
    """Return an alert in one line, with when it was raised if that was seen.

    Of the last one that is shown, the line says how many `more` there are instead.
    """
    bad = alert.severity is Severity.CRITICAL
    mark = TextSpan(" ▲ " if bad else " △ ", "bad" if bad else "warning")
    clock = "" if since is None else at_clock(since)[: 8 if width >= 110 else 5]
    raised = f"  and {more} more " if more > 0 else f"  since {clock} " if clock else ""
    text = cut(f"{alert.subject}: {alert.text}", width - 4 - len(raised))
    left = line(mark, TextSpan(text, "strong" if bad else ""))
    return apart(left, line(TextSpan(raised, "faint")), width) if raised else left


def totals_line(seen: Seen, width: int) -> ScreenLine:
    """Return what all queues do together, with the last hour of each number."""
    view = seen.view
    assert view is not None
    wide = 11 if width < 110 else 18
    speeds = [rate_here(seen, queue) for queue in view.queues]
    done, failed = _summed(seen, "completed"), _summed(seen, "failed")
    step = next((one.step for one in seen.series.values()), 10.0)
    failing = sum(failed[-6:]) / (step * max(1, len(failed[-6:])))
    slots = sum(worker.concurrency for worker in view.workers)
    busy = sum(worker.running for worker in view.workers)
    return line(
        TextSpan(" Done ", "second"),
        TextSpan(rate(sum(speeds)), number="done"),
        TextSpan(f" {sparkline(done, wide)}  ", "completed"),
        TextSpan("Failed ", "second"),
        TextSpan(rate(failing), number="failed"),
        TextSpan(f" {sparkline(failed, wide)}  ", "dead"),
        TextSpan("Slots ", "second"),
        TextSpan(f"{count(busy)}/{count(slots)}", number="slots"),
        TextSpan(f" {sparkline(_summed(seen, 'active'), wide)}", "active"),
    )


def _summed(seen: Seen, field: str) -> list[float]:
    """Return a number of all queues together, step by step."""
    sums: dict[float, float] = {}
    for series in seen.series.values():
        for point in series.points:
            at = point.at.timestamp()
            sums[at] = sums.get(at, 0) + getattr(point, field)
    return [sums[at] for at in sorted(sums)]


def kind_line(name: str, kind: FailureKind, width: int) -> ScreenLine:
    """Return a kind of failure in one line."""
    room = max(10, width - 84)
    left = line(
        TextSpan(f" {cut(kind.error_type or kind.message or '-', 20):<20} ", "dead"),
        TextSpan(f"{cut(kind.type or '-', 22):<22} "),
        TextSpan(f"{cut(kind.place or 'no frame', room):<{room}} ", "second"),
        TextSpan(f"{cut(name, 14)}", "faint"),
    )
    return apart(left, line(TextSpan(f"{count(kind.count)}  {ago(kind.first_seen)} ago ")), width)


def empty_lines() -> list[ScreenLine]:
    """Return what to do where no queue was ever used."""
    return [
        line(" No queue was ever used here. Start a worker, and enqueue a task:"),
        line(),
        line(TextSpan("   rediq run module:app", "strong")),
        line(TextSpan("   rediq enqueue TYPE", "strong")),
        line(TextSpan("   rediq demo", "strong")),
    ]
