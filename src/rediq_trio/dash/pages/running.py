"""Running attempts, the longest first, with how far they are."""

from __future__ import annotations

from collections.abc import Iterable

from rediq_trio.dash.pages.queue_rows import ago
from rediq_trio.dash.text import ScreenLine, TextSpan, apart, bar, cut, line
from rediq_trio.observe.words import percent
from rediq_trio.values.observed.workers import RunningTask
from rediq_trio.values.task import WorkerInfo

SHORT_ID = 8
"""The last characters of an id, which are unlike others'."""


def short_id(task_id: str) -> str:
    """Return the end of an id, for a table."""
    local = task_id.rpartition("/")[2]
    return local if len(local) <= SHORT_ID + 2 else "…" + local[-SHORT_ID:]


def longest(workers: Iterable[WorkerInfo]) -> list[tuple[RunningTask, WorkerInfo]]:
    """Return what runs, what has run longest first."""
    found = [(task, worker) for worker in workers for task in worker.running_tasks or ()]
    return sorted(found, key=lambda one: one[0].since)


def running_lines(workers: Iterable[WorkerInfo], width: int, *, most: int) -> list[ScreenLine]:
    """Return the attempts that have run longest, a line for each."""
    return [
        _line(task, worker, width)
        for task, worker in longest(workers)[:most]
    ]  # fmt: skip


def _line(task: RunningTask, worker: WorkerInfo, width: int) -> ScreenLine:
    left = line(
        TextSpan(f" {cut(task.type, 22):<22} "), TextSpan(f"{short_id(task.id):<10} ", "second"),
        TextSpan(f"{cut(worker.id, 18):<18} ", "second"),
    )  # fmt: skip
    far = (
        ""
        if task.percent is None
        else f"{bar(task.percent / 100)} {percent(task.percent / 100):>5}"
    )
    return apart(left, line(TextSpan(far, "active"), f"  {ago(task.since):>9} "), width)
