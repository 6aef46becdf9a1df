"""The queues, with all of their states."""

from __future__ import annotations

from collections.abc import Sequence

from rediq_trio.dash.pages.page import KeyAct, Orders, ScreenPage
from rediq_trio.dash.pages.queue_acts import queue_acts
from rediq_trio.dash.pages.queue_rows import mark_of, number, oldest, running, wrong
from rediq_trio.dash.pages.tasks import TasksPage
from rediq_trio.dash.seen import Seen
from rediq_trio.dash.text import Column, ScreenLine, TableRow, TextSpan, line
from rediq_trio.observe.views import QueueView
from rediq_trio.observe.words import counted, percent


class QueuesPage(ScreenPage):
    """Each queue with how many of its tasks are in each state."""

    name = "Queues"
    columns = (
        Column("QUEUE", 13), Column("PENDING", 7, right=True, counts=True), Column("RUNNING", 17, counts=True),
        Column("SCHED", 6, right=True, counts=True), Column("RETRY", 5, right=True, counts=True),
        Column("DEAD", 6, right=True, counts=True),
        Column("OLDEST", 7, right=True), Column("WORKERS", 7, right=True, counts=True),
        Column("BLOCKED", 7, right=True, since=110, counts=True),
        Column("GROUPED", 7, right=True, since=110, counts=True),
        Column("DONE", 7, right=True, since=110, counts=True), Column("", since=110),
    )  # fmt: skip
    sorts = ("name", "pending", "dead", "oldest")

    def head(self, seen: Seen, width: int) -> list[ScreenLine]:
        view = seen.view
        if view is None:
            return []
        some = f" {counted(len(view.queues), 'queue')}, {counted(len(view.workers), 'worker')}"
        unread = [f" {name} cannot be read: {why}" for name, why in view.unread.items()][:2]
        return [
            line(TextSpan(some, "second")),
            *(line(TextSpan(text, "bad")) for text in unread),
            line(),
        ]

    def rows(self, seen: Seen) -> list[TableRow]:
        queues = () if seen.view is None else seen.view.queues
        orders: Orders[QueueView] = (
            lambda queue: (0, queue.name),
            lambda queue: (-queue.stats.pending, queue.name),
            lambda queue: (-queue.stats.dead, queue.name),
            lambda queue: (-queue.stats.oldest_pending_age, queue.name),
        )  # fmt: skip
        return [_row(seen, queue) for queue in sorted(queues, key=orders[self.sort])]

    def below(self, seen: Seen, width: int, room: int) -> list[ScreenLine]:
        queue = seen.queue(self.here(self.shown_rows(seen)))
        if queue is None:
            return []
        failing = (
            f"  {percent(queue.failures)} of its attempts fail"
            if queue.failures is not None
            else ""
        )
        text = wrong(seen, queue) or "nothing is wrong"
        if "attempts failed" in text:
            failing = ""  # the alert says it
        return [line(), line(TextSpan(f" {queue.name}: ", "strong"), f"{text}{failing}")][:room]

    def acts(self, seen: Seen) -> Sequence[KeyAct]:
        return queue_acts(lambda now: self.here(self.shown_rows(now)))

    def enter(self, seen: Seen) -> ScreenPage | None:
        name = self.here(self.shown_rows(seen))
        return TasksPage(name) if name else None


def _row(seen: Seen, queue: QueueView) -> TableRow:
    stats = queue.stats
    return TableRow(
        queue.name,
        (
            TextSpan(queue.name), number(stats.pending), running(seen, queue),
            number(stats.scheduled, 6, "scheduled"), number(stats.retry, 5, "retry"),
            number(stats.dead, 6, "dead"), oldest(queue), number(len(queue.workers)),
            number(stats.blocked, 7, "blocked"), number(stats.grouped, 7, "grouped"),
            number(stats.completed, 7, "completed"), TextSpan(wrong(seen, queue), "second"),
        ),
        mark_of(seen, queue),
    )  # fmt: skip
