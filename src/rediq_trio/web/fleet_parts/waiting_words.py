"""Why a pending task waits, in the words of a row: what holds its queue, its type or its limit key."""

from __future__ import annotations

from rediq_trio.observe.views import QueueView
from rediq_trio.observe.words import count, shown
from rediq_trio.values.task import TaskInfo
from rediq_trio.web.fleet_parts.queue_facts import LimitRow, QueueFacts


def held_by(queue: QueueView, facts: QueueFacts, info: TaskInfo) -> tuple[str, bool]:
    """Return what holds a pending task, and whether that is more than its turn.

    It is said by what is known of the queue; `TaskHandle.why` asks about the task itself.
    """
    serving = [each for each in facts.workers if each.state not in ("quiet", "stopping")]
    if queue.stats.paused:
        return "the queue is paused", True
    if not facts.workers:
        return "no live worker serves the queue", True
    if not serving:
        return "its workers claim nothing", True
    if info.type in facts.missing:
        return "no worker of the queue has a handler for its type", True
    full = [row for row in facts.limit_rows if row.full and row.key in (None, info.limit_key)]
    if full:
        return _limit_words(full[-1]), True
    if sum(each.running for each in serving) >= sum(each.concurrency for each in serving):
        return "its turn: all slots are taken", False
    return "its turn", False


def _limit_words(row: LimitRow) -> str:
    whose = "the queue's limit" if row.key is None else f"limit key {shown(row.key, 60)}"
    return f"{whose}: {count(row.running)} of {count(row.limit.concurrency or 0)} run"
