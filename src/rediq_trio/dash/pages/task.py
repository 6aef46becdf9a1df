"""One task: why it waits or how it ended, its attempts on a time axis, its error and its payload."""

from __future__ import annotations

import datetime as dt
import json
import textwrap
from collections.abc import Sequence

from rediq_trio._errors import TaskNotFound
from rediq_trio.client import Client
from rediq_trio.dash.pages.page import KeyAct, ScreenPage
from rediq_trio.dash.pages.queue_rows import ago, at_clock
from rediq_trio.dash.pages.task_acts import cancel_tasks, delete_tasks, retry_tasks, run_tasks_now
from rediq_trio.dash.palette import STATE_MARKS
from rediq_trio.dash.seen import Seen
from rediq_trio.dash.text import Column, ScreenLine, TableRow, TextSpan, bar, cut, line
from rediq_trio.observe.as_json import plain
from rediq_trio.observe.words import count, duration, percent, size, when
from rediq_trio.spec.lifecycle import WAITING, State
from rediq_trio.values.chance import utc_now
from rediq_trio.values.hiding import Hiding
from rediq_trio.values.observed.attempt import Attempt
from rediq_trio.values.observed.why import Why
from rediq_trio.values.task import TaskInfo

AXIS = 30
"""Columns of the time axis."""
PAYLOAD_LINES = 200
WHY_LINES = 3
"""Lines of why it waits, or how it ended."""


class TaskDetailPage(ScreenPage):
    """Everything about one task; its lines scroll."""

    name = "Task"
    columns = (Column(""),)

    def __init__(self, task_id: str) -> None:
        super().__init__()
        self.task_id = task_id
        self.info: TaskInfo | None = None
        self.why = ""

    async def read(self, client: Client, hide: Hiding) -> None:
        handle = client.task(self.task_id)
        try:
            self.info = hide.info(await handle.info())
            self.why = why_words(await handle.why(), hide)
        except TaskNotFound:
            self.why = "It is there no longer: it was purged or deleted, or never existed."

    def head(self, seen: Seen, width: int) -> list[ScreenLine]:
        info = self.info
        if info is None:
            return [
                line(TextSpan(f" {self.task_id}", "strong")),
                line(TextSpan(f" {self.why or 'reading'}")),
                line(),
            ]
        mark, letter = STATE_MARKS[info.state]
        first = line(
            TextSpan(f" {cut(info.type, 30)}  ", "strong"),
            TextSpan(f"{mark} {info.state.value} ({letter})", info.state.value),
            TextSpan(f"  {info.id}", "second"),
        )
        texts = textwrap.wrap(self.why, width - 2, max_lines=WHY_LINES, placeholder="…")
        return [first, *(line(f" {text}") for text in texts), line()]

    def rows(self, seen: Seen) -> list[TableRow]:
        if (info := self.info) is None:
            return []
        found = [*attempt_lines(info), *progress_lines(info), *error_lines(info), *fact_lines(info)]
        return [TableRow(str(n), (span,)) for n, span in enumerate(found)]

    def acts(self, seen: Seen) -> Sequence[KeyAct]:
        state = None if self.info is None else self.info.state
        ids = [self.task_id]
        if state in (State.DEAD, State.CANCELLED):
            first = [KeyAct("r", "retry", lambda now: retry_tasks(now, ids))]
        elif state in (State.SCHEDULED, State.RETRY, State.PENDING):
            first = [KeyAct("r", "run now", lambda now: run_tasks_now(now, ids))]
        else:
            first = []
        edits = (
            [KeyAct("e", "edit" if state in WAITING else "edit a copy", self._edit)]
            if state is not None and state is not State.ACTIVE
            else []
        )
        return (
            *first,
            *edits,
            KeyAct("c", "cancel", lambda now: cancel_tasks(now, ids)),
            KeyAct("D", "delete", lambda now: delete_tasks(now, ids)),
        )

    def _edit(self, seen: Seen) -> None:
        if seen.edit is None:
            seen.say("there is no editor here", refused=True)
        else:
            seen.start(seen.edit(self.task_id))

    def id_here(self, seen: Seen) -> str | None:
        return self.task_id


def why_words(why: Why, hide: Hiding) -> str:
    """Return why a task waits, or how it ended, without its id; its state alone if errors are hidden."""
    if any(
        part.data.get("error") not in (None, hide(part.data.get("error"), "error"))
        for part in why.parts
    ):
        return f"It is {why.state}."
    text = why.sentence.removeprefix(f"{why.task_id} is {why.state}: ")
    return text[:1].upper() + text[1:]


def attempt_lines(info: TaskInfo) -> list[TextSpan]:
    """Return the attempts that did not complete it as bars on a time axis."""
    if not info.attempts:
        return []
    begin, end = info.attempts[0].started_at, info.attempts[-1].ended_at
    head = f" #  {at_clock(begin)}{at_clock(end):>{AXIS - 8}}      RAN  WORKER              ENDED"
    found = [TextSpan(head, "faint")]
    for n, attempt in enumerate(info.attempts):
        after = info.attempts[n + 1].started_at if n + 1 < len(info.attempts) else None
        ran = duration((attempt.ended_at - attempt.started_at).total_seconds())
        axis = attempt_axis(attempt, begin, end, after)
        found.append(
            TextSpan(
                f" {attempt.number:<2} {axis} {ran:>8}  {cut(attempt.worker, 18):<18}  {attempt.outcome}"
            )
        )
    return [*found, TextSpan("    ▓ ran  ▒ backoff", "faint"), TextSpan("")]


def attempt_axis(
    attempt: Attempt, begin: dt.datetime, end: dt.datetime, after: dt.datetime | None
) -> str:
    """Return one attempt on the axis from `begin` to `end`; `after` is when the next one started."""
    whole = max((end - begin).total_seconds(), 0.001)

    def place(at: dt.datetime) -> int:
        return round((at - begin).total_seconds() / whole * AXIS)

    start = min(AXIS - 1, place(attempt.started_at))
    stop = min(AXIS, max(start + 1, place(attempt.ended_at)))
    wait = stop if after is None else min(AXIS, max(stop, place(after)))
    return (" " * start + "▓" * (stop - start) + "▒" * (wait - stop)).ljust(AXIS)


def progress_lines(info: TaskInfo) -> list[TextSpan]:
    """Return how far a running attempt is."""
    if info.progress is None or info.state is not State.ACTIVE:
        return []
    part = info.progress.percent / 100
    since = ago(info.progress.updated_at)
    text = f" {bar(part)}  {percent(part)}  {info.progress.message or ''}  ({since} ago)"
    return [TextSpan(text, "active"), TextSpan("")]


def error_lines(info: TaskInfo) -> list[TextSpan]:
    """Return the error, and the traceback of the last attempt that has one."""
    last = next((each for each in reversed(info.attempts) if each.traceback), None)
    found = [TextSpan(f" {info.error}", "dead")] if info.error else []
    if last is not None:
        found += [TextSpan(f"   {text}", "second") for text in (last.traceback or "").splitlines()]
    return [*found, TextSpan("")] if found else []


def fact_lines(info: TaskInfo) -> list[TextSpan]:
    """Return what it was enqueued with, and when it did what."""
    now = utc_now()
    facts = [
        (
            "attempt",
            f"{count(info.attempt)} of {count(info.max_retry + 1)}, {count(info.deliveries)} deliveries, "
            f"crashes {count(info.crashes)} of {count(info.max_crashes)}",
        ),
        ("priority", str(info.priority)),
        ("worker", info.worker or "-"),
        ("created", when(info.created_at, now)),
        ("due", when(info.run_at, now)),
        ("started", when(info.started_at, now)),
        ("finished", when(info.finished_at, now)),
        ("limit key", info.limit_key or ""),
        ("group", info.group or ""),
        ("workflow", info.workflow or ""),
        ("depends on", ", ".join(info.depends_on)),
        *((f"meta {key}", text) for key, text in info.metadata.items()),
        ("size", size(info.size)),
    ]
    found = [TextSpan(f" {name:<10} {text}") for name, text in facts if text]
    if info.payload_missing is not None:
        return [*found, TextSpan(f" payload    not shown: {info.payload_missing}")]
    found += _value_lines("PAYLOAD", info.payload)
    return (
        [*found, *_value_lines("RESULT", info.result)] if info.state is State.COMPLETED else found
    )


def _value_lines(title: str, value: object) -> list[TextSpan]:
    text = json.dumps(plain(value), ensure_ascii=False, indent=2)
    lines = text.split("\n")[:PAYLOAD_LINES]
    return [TextSpan(""), TextSpan(f" {title}", "faint"), *(TextSpan(f" {each}") for each in lines)]
