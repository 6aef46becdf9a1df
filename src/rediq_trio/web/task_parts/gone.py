"""The page of a task that cannot be shown: it is gone, or a newer version wrote it. Neither is an error."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import aclosing
from typing import Any, cast

import attrs
import trio

from rediq_trio.observe.words import shown
from rediq_trio.values.bounds import queue_of
from rediq_trio.web.site.page import Shown, Visit

HISTORY_SECONDS = 3.0
"""Seconds for which the history of a queue is looked through."""
HISTORY_LINES_MAX = 200_000
HISTORY_STEPS_SHOWN = 50


@attrs.frozen
class HistoryStep:
    """One step of a task in the history of its queue."""

    number: int
    at: dt.datetime
    transition: str
    source: str
    target: str
    worker: str
    reason: str


async def read_steps(visit: Visit, queue: str, local_id: str) -> tuple[list[HistoryStep], int]:
    """Return the last steps of a task in the history, the newest first, and how many lines were read."""
    found: list[HistoryStep] = []
    lines = 0
    needle = json.dumps(local_id)
    with trio.move_on_after(HISTORY_SECONDS):
        async with aclosing(visit.client.queue(queue).history_lines()) as history:
            async for line in history:
                lines += 1
                if needle in line and (step := _step(line, local_id)) is not None:
                    found.append(step)
                if lines >= HISTORY_LINES_MAX:
                    break
    return [*reversed(found[-HISTORY_STEPS_SHOWN:])], lines


def _step(line: str, local_id: str) -> HistoryStep | None:
    fields = cast("dict[str, Any]", json.loads(line))
    if fields.get("id") != local_id:
        return None
    return HistoryStep(
        int(fields.get("step", 0)),
        dt.datetime.fromtimestamp(int(fields.get("now_ms", 0)) / 1000, dt.UTC),
        str(fields.get("event", "")),
        str(fields.get("source") or ""),
        str(fields.get("target") or ""),
        str(fields.get("worker", "")),
        str(fields.get("reason", "")),
    )


_REMOVED = {
    "purge": "was purged, as its retention was over,",
    "delete": "was deleted",
    "flush": "was removed when the queue was flushed",
    "batch": "became part of a batch",
    "requeue": "was moved to another queue",
    "complete": "completed, and was not kept,",
}


async def show_gone(visit: Visit, task_id: str, queue: str) -> Shown:
    """Show what is known of a task that does not exist."""
    known = queue in await visit.client.queues()
    steps, lines = await read_steps(visit, queue, task_id.partition("/")[2]) if known else ([], 0)
    why = ""
    if not known:
        why = f"There is no queue {shown(queue, 80)}: it was never used, or was removed."
    elif steps and not steps[0].target:
        word = _REMOVED.get(steps[0].transition, f"went by {shown(steps[0].transition, 40)}")
        why = f"It {word} at {steps[0].at.astimezone(visit.zone):%Y-%m-%d %H:%M:%S}. Its last steps are below."
    elif steps:
        why = "It is gone, and how it went is not in the history any more. Its last known steps are below."
    elif lines > 1:
        why = (
            "No task has this id: it never existed, was deleted, was purged after its retention, or became "
            "part of a batch. "
            f"It is not in the last {lines - 1:,} steps of the queue's history."
        )
    else:
        why = (
            "No task has this id: it never existed, was deleted, was purged after its retention, or became "
            "part of a batch. "
            "The queue keeps no history that would say more: rediq queue keep-history makes it keep one."
        )
    values = {
        "task_id": task_id,
        "queue": queue,
        "why": why,
        "steps": steps,
        "known": known,
        "word": "gone",
    }
    return Shown(
        template="task_gone.html",
        title=f"Task …{task_id[-8:]}",
        nav="/queues",
        values=values,
        status=404,
    )


async def show_newer(visit: Visit, task_id: str, queue: str, why: str) -> Shown:
    """Show that a newer version wrote a task."""
    steps, _ = await read_steps(visit, queue_of(queue), task_id.partition("/")[2])
    text = (
        f"{why[:1].upper()}{why[1:]}. Workers of the newer version run it; upgrade rediq-trio where this page "
        "is served to see it."
    )
    values = {
        "task_id": task_id,
        "queue": queue,
        "why": text,
        "steps": steps,
        "known": True,
        "word": "of a newer version",
    }
    return Shown(
        template="task_gone.html", title=f"Task …{task_id[-8:]}", nav="/queues", values=values
    )
