"""The page of one task: its state and why, its life, its attempts, and what it carries."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any, cast

import attrs

from rediq_trio._errors import (
    ConfigError,
    NewerTask,
    OrderRefused,
    PayloadError,
    TaskNotFound,
    WorkerNotFound,
)
from rediq_trio.admin.task_file import to_json
from rediq_trio.observe.as_json import plain
from rediq_trio.observe.words import counted, duration, shown, size
from rediq_trio.spec.lifecycle import State
from rediq_trio.tasks.ids import split_id
from rediq_trio.tasks.task_info import UNREADABLE_TEXT
from rediq_trio.values.bounds import queue_of
from rediq_trio.values.hiding import Hidden
from rediq_trio.values.observed.attempt import Attempt
from rediq_trio.values.observed.why import Why, WhyKind
from rediq_trio.values.task import TaskInfo
from rediq_trio.web.drawing.life import axis, life
from rediq_trio.web.drawing.machine import machine
from rediq_trio.web.site.page import Download, NotFound, Page, PageAnswer, Shown, Visit
from rediq_trio.web.task_parts.acts import ACTS as ACTS
from rediq_trio.web.task_parts.acts import acts_of
from rediq_trio.web.task_parts.gone import show_gone, show_newer
from rediq_trio.web.task_parts.life import attempt_rows, axis_of, newest_failed, way_of
from rediq_trio.web.task_parts.traceback import traceback_lines
from rediq_trio.web.task_parts.tree import SHOWN_AT_ONCE, tree

RELATED_SHOWN = 50
"""Dependents that the page lists."""
SAVED_FIELDS = ("payload", "result")
"""What can be saved as a file."""
SHOWN_MOST = 8 * 1024 * 1024
"""Characters of a value that the page shows on demand."""


def hidden_info(visit: Visit, info: TaskInfo) -> TaskInfo:
    """Return what this site may show of a task."""
    hide = visit.hide

    def attempt(one: Attempt) -> Attempt:
        return attrs.evolve(
            one,
            message=None if one.message is None else _text(hide(one.message, "error")),
            traceback=None if one.traceback is None else _text(hide(one.traceback, "error")),
        )

    metadata: Any = hide(dict(info.metadata), "metadata")
    return attrs.evolve(
        info,
        payload=hide(info.payload, "payload"),
        result=hide(info.result, "result"),
        metadata=cast("Any", metadata) if isinstance(metadata, Mapping) else {"": str(metadata)},
        error=None if info.error is None else _text(hide(info.error, "error")),
        attempts=tuple(map(attempt, info.attempts)),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value)


def task_id_of(visit: Visit) -> tuple[str, str, str]:
    """Return the id in the path, its partition and its local id; raise `NotFound` for what is no id."""
    task_id = visit.params["task"]
    try:
        partition, local_id = split_id(task_id)
    except ConfigError:
        raise NotFound(
            f"{shown(task_id, 80)} is no task's id",
            "An id is the queue, a slash and a name: emails/01a2-...",
        ) from None
    return task_id, partition, local_id


async def show_task(visit: Visit) -> PageAnswer:
    """Show one task, whatever became of it."""
    task_id, partition, _ = task_id_of(visit)
    queue = queue_of(partition)
    handle = visit.client.task(task_id)
    try:
        raw, why = await handle.info(), await handle.why()
    except TaskNotFound:
        return await show_gone(visit, task_id, queue)
    except NewerTask as error:
        return await show_newer(visit, task_id, queue, str(error))
    info = hidden_info(visit, raw)
    rows = attempt_rows(info, visit.now)
    since, until = axis_of(info, visit.now)
    way = way_of(info, visit.now)
    chosen = _chosen(visit, rows)
    attempt = None if chosen is None else chosen.attempt
    most = SHOWN_MOST if visit.query.get("all") else SHOWN_AT_ONCE
    values: dict[str, Any] = {
        "info": info, "why": sentence_of(why), "why_parts": _why_parts(why),
        "acts": acts_of(visit, raw), "queue": queue,
        "machine": machine(way.taken, way.visits, info.state.value, way.label), "visits": way.visits,
        "rows": [(row, life(row.bars, (until - since).total_seconds())) for row in rows],
        "axis": axis(since, until, visit.zone), "not_kept": max(0, info.deliveries - len(rows)),
        "chosen": chosen, "failed": [row for row in rows if row.attempt is not None],
        "lines": traceback_lines(attempt.traceback) if attempt is not None and attempt.traceback else [],
        "payload": None if info.payload_missing else tree(info.payload, most),
        "result": tree(info.result, most) if info.state is State.COMPLETED else None,
        "unreadable_result": info.state is State.COMPLETED and info.result == UNREADABLE_TEXT,
        "options": _options(info), "trace": _trace(visit, info), "related": RELATED_SHOWN,
        "facts": _facts(info), "size_said": f"{size(info.size)} in all", "full": bool(visit.query.get("all")),
        "stacks": await _stacks(visit, info), "record": _record(info), "tail": task_id[-8:],
        "kinds": {row.attempt.kind for row in rows if row.attempt is not None and row.attempt.kind},
    }  # fmt: skip
    return Shown(
        template="task.html", title=f"{info.type} …{task_id[-8:]}", nav="/queues", values=values
    )


def _chosen(visit: Visit, rows: list[Any]) -> Any:
    wanted = visit.query.get("attempt", "")
    found = [row for row in rows if row.attempt is not None and str(row.delivery) == wanted]
    return found[0] if found else newest_failed(rows)


def sentence_of(why: Why) -> str:
    """Return why in one sentence, without the id and the state, which stand above it."""
    text = why.sentence
    for head in (f"{why.task_id} is {why.state.value}: ", f"{why.task_id} is {why.state.value}"):
        text = text.removeprefix(head)
    text = text.strip() or why.sentence
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else f"{text}."


_HOLDS = frozenset({
    WhyKind.DEPENDENCIES, WhyKind.GROUP, WhyKind.RETRY, WhyKind.SCHEDULED, WhyKind.PAUSED, WhyKind.UNSERVED,
    WhyKind.NOT_CLAIMING, WhyKind.UNKNOWN_TYPE, WhyKind.SLOTS_TAKEN, WhyKind.LIMIT, WhyKind.RATE,
    WhyKind.NEWER_FIRST, WhyKind.POSITION,
    WhyKind.ELSEWHERE, WhyKind.LEASE_LAPSED, WhyKind.CANCELLING,
})  # fmt: skip
"""The parts that can hold a task; the first of them is lit."""


def _why_parts(why: Why) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return of each part its look, its clause and the tasks that it names with their states."""
    found: list[tuple[str, str, list[tuple[str, str]]]] = []
    lit = False
    for part in why.parts:
        look = "plain"
        if part.kind in _HOLDS and not lit:
            look, lit = "now", True
        elif part.kind is WhyKind.SERVED:
            look = "completed"
        named = part.data.get("tasks")
        tasks = (
            [
                (str(each), "" if state is None else str(state))
                for each, state in cast("Mapping[str, Any]", named).items()
            ][:20]
            if isinstance(named, Mapping)
            else []
        )
        sentence = part.sentence[:1].upper() + part.sentence[1:]
        found.append((look, sentence, tasks))
    return found


def _facts(info: TaskInfo) -> list[tuple[str, dt.datetime]]:
    facts = [("enqueued", info.created_at)]
    if info.finished_at is not None:
        words = {State.DEAD: "died", State.COMPLETED: "completed", State.CANCELLED: "cancelled"}
        facts.append((words.get(info.state, "ended"), info.finished_at))
    elif info.state in (State.SCHEDULED, State.RETRY):
        facts.append(("due", info.run_at))
    elif info.state is State.ACTIVE and info.started_at is not None:
        facts.append(("began", info.started_at))
    return facts


def _options(info: TaskInfo) -> list[tuple[str, str]]:
    found = [
        ("priority", f"{info.priority}"),
        ("attempts", f"{info.attempt:,} of {info.max_retry + 1:,}"),
        ("deliveries", f"{info.deliveries:,}"),
        ("crashes", f"{info.crashes:,} of {info.max_crashes:,}"),
    ]
    if info.snoozes:
        found.append(("snoozed", counted(info.snoozes, "time")))
    found.append(
        ("timeout", "what its handler says" if info.timeout is None else duration(info.timeout))
    )
    found.append(
        (
            "backoff",
            "what its handler says" if info.backoff is None else shown(str(info.backoff), 120),
        )
    )
    if info.retention is not None:
        found.append(("kept", f"{duration(info.retention)} after it has completed"))
    if info.limit_key is not None:
        found.append(("limit key", shown(info.limit_key, 130)))
    if info.group is not None:
        found.append(("group", shown(info.group, 130)))
    if info.members:
        found.append(("members", counted(len(info.members), "task")))
    if info.depends_on:
        what = "it is dead too" if info.on_dependency_failure == "dead" else "it runs anyway"
        found.append(("if one that it needs fails", what))
    return found


def _trace(visit: Visit, info: TaskInfo) -> tuple[str, str] | None:
    """Return the id of its trace and a link to it, "" for none."""
    parts = info.metadata.get("traceparent", "").split("-")
    if len(parts) != 4 or len(parts[1]) != 32 or set(parts[1]) - set("0123456789abcdef"):
        return None
    url = visit.shared.trace_url
    return parts[1], url.replace("{trace_id}", parts[1]) if url.startswith(
        ("https://", "http://")
    ) else ""


def _record(info: TaskInfo) -> str:
    """Return all fields of a task as JSON, for those who want to see them raw."""
    fields = {
        field.name: _harmless(plain(getattr(info, field.name)))
        for field in attrs.fields(TaskInfo)
        if field.name not in ("attempts", "payload", "result")
    }
    return json.dumps(fields, indent=1, ensure_ascii=False)


def _harmless(value: Any) -> Any:
    match value:
        case str():
            return shown(value, 1000)
        case dict():
            items = cast("dict[Any, Any]", value).items()
            return {_harmless(key): _harmless(each) for key, each in items}
        case list():
            return [_harmless(each) for each in cast("list[Any]", value)]
        case _:
            return value


async def _stacks(visit: Visit, info: TaskInfo) -> str | None:
    """Return where the running attempt is, if that was asked for; None otherwise."""
    if info.state is not State.ACTIVE or not visit.query.get("stack") or not info.worker:
        return None
    try:
        found = await visit.shared.client.worker(info.worker).stacks()
    except (WorkerNotFound, OrderRefused, ConfigError) as error:
        return f"not shown: {error}"
    return found.get(info.id, "the worker does not run it at this moment")


async def download(visit: Visit) -> Download:
    """Send a value of a task as JSON; bytes are `{"$bytes": ...}`."""
    task_id, _, local_id = task_id_of(visit)
    field = visit.params["field"]
    if field not in SAVED_FIELDS:
        raise NotFound(
            f"there is nothing to save of the name {shown(field, 40)}",
            "There are payload and result.",
        )
    info = await visit.client.task(task_id).info()
    if field == "payload" and info.payload_missing is not None:
        raise NotFound(f"there is no payload to save: {info.payload_missing}")
    value = visit.hide(getattr(info, field), field)
    try:
        text = json.dumps(to_json(_without_hidden(value)), ensure_ascii=True, indent=1)
    except (TypeError, ValueError, RecursionError, PayloadError) as error:
        raise NotFound(f"the {field} cannot be written as JSON: {shown(str(error), 200)}") from None
    return Download(
        name=f"{local_id[:60]}-{field}.json",
        body=text.encode(),
        media_type="application/json",
        inline=True,
    )


def _without_hidden(value: object) -> object:
    match value:
        case Hidden():
            return str(value)
        case Mapping():
            return {
                key: _without_hidden(each) for key, each in cast("Mapping[Any, Any]", value).items()
            }
        case list():
            return [_without_hidden(each) for each in cast("list[Any]", value)]
        case _:
            return value


PAGES: tuple[Page, ...] = (
    Page("/tasks/{task:path}", show_task),
    Page("/tasks/{task:path}/download/{field}", download),
)
