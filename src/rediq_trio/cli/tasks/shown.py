"""All that is known about a task, for people and for programs."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import attrs

from rediq_trio.cli.operate.output import Output, cell
from rediq_trio.observe.as_json import plain
from rediq_trio.observe.single import TaskView
from rediq_trio.observe.words import count, counted, duration, instant, shown, size, when
from rediq_trio.spec.lifecycle import State
from rediq_trio.values.hiding import Hiding
from rediq_trio.values.observed.related import Dependency, UniqueKey
from rediq_trio.values.task import TaskInfo

VALUE_MAX = 2_000
"""Characters of a payload or a result that are shown to people; `--json` has all of it."""
DEPENDENTS_SHOWN = 20
"""Dependents that are shown to people."""

Facts = Iterator[tuple[str, str]]


def show_task(out: Output, view: TaskView) -> None:
    """Print all that is known about a task: what it is, its attempts, and the tasks around it.

    What `REDIQ_HIDE` names is not shown.
    """
    info, at = Hiding.from_environment().info(view.info), view.at
    out.object(attrs.asdict(info, recurse=False))
    out.fields(f"task {shown(info.id)}", [
        *_state(info, at), *_options(info, at), *_around(info), *_values(info),
    ])  # fmt: skip
    _timeline(out, info)


def _state(info: TaskInfo, at: dt.datetime) -> Facts:
    yield "type", cell(info.type)
    yield "state", info.state.value
    yield "attempt", f"{count(info.attempt)} of {count(info.max_retry + 1)}"
    again = f", snoozes {count(info.snoozes)}" if info.snoozes else ""
    crashes = f"crashes {count(info.crashes)} of {count(info.max_crashes)}"
    yield "deliveries", f"{count(info.deliveries)}, {crashes}{again}"
    yield "created", when(info.created_at, at)
    yield "due", when(info.run_at, at)
    yield "started", when(info.started_at, at)
    yield "finished", when(info.finished_at, at)
    yield "worker", cell(info.worker)
    if info.progress is not None:
        yield (
            "progress",
            f"{info.progress.percent:g} % {shown(info.progress.message or '')}".rstrip(),
        )


def _options(info: TaskInfo, at: dt.datetime) -> Facts:
    yield "priority", str(info.priority)
    if info.timeout is not None:
        yield "timeout", duration(info.timeout)
    if info.backoff is not None:
        yield "backoff", shown(str(info.backoff))
    if info.expires is not None:
        yield "expires", when(info.expires, at)
    if info.deadline is not None:
        yield "deadline", when(info.deadline, at)
    if info.retention is not None:
        yield "retention", duration(info.retention)
    if info.limit_key is not None:
        yield "limit key", cell(info.limit_key)
    if info.unique is not None:
        yield "unique", _unique_text(info.unique, at)
    if info.group is not None:
        yield "group", cell(info.group)
    if info.members:
        yield "members", counted(len(info.members), "task")
    if info.workflow is not None:
        yield "workflow", cell(info.workflow)
    yield from (("metadata", f"{shown(k)}={shown(v)}") for k, v in info.metadata.items())


def _unique_text(unique: UniqueKey, at: dt.datetime) -> str:
    held = "held by this task" if unique.held else "free"
    if unique.holder is not None and not unique.held:
        held = f"held by {shown(unique.holder)}"
    until = f", free at {when(unique.held_until, at)}" if unique.held_until else ""
    return f"{shown(unique.key)} until {unique.until}: {held}{until}"


def _around(info: TaskInfo) -> Facts:
    if info.dependencies is None:
        yield from (("depends on", cell(one)) for one in info.depends_on)
    else:
        yield from (("depends on", _dependency_text(one)) for one in info.dependencies)
    for one in (info.dependents or ())[:DEPENDENTS_SHOWN]:
        yield "dependent", cell(one)
    if (more := (info.dependent_count or 0) - DEPENDENTS_SHOWN) > 0:
        yield "dependent", f"and {counted(more, 'other task')}"


def _dependency_text(one: Dependency) -> str:
    state = "" if one.state is None else f" is {one.state.value}"
    return f"{shown(one.id)}{state}{', awaited' if one.awaited else ''}"


def _values(info: TaskInfo) -> Facts:
    if info.payload_missing is not None:
        yield "payload", f"not shown: {shown(info.payload_missing)}"
    else:
        yield "payload", value_text(info.payload)
    if info.steps:
        yield "steps", ", ".join(map(shown, info.steps))
    if info.error is not None:
        yield "error", cell(info.error)
    yield "size", size(info.size)
    if info.state is State.COMPLETED:
        yield "result", value_text(info.result)


def _timeline(out: Output, info: TaskInfo) -> None:
    for attempt in info.attempts:
        took = duration((attempt.ended_at - attempt.started_at).total_seconds())
        out.say(
            f"attempt {count(attempt.number)}, delivery {count(attempt.delivery)}: {shown(attempt.outcome)} "
            f"at {instant(attempt.ended_at)} after {took}, on {shown(attempt.worker)}"
        )
        for line in (attempt.traceback or "").splitlines():
            out.say(f"    {shown(line)}".rstrip())
        if attempt.traceback is None and attempt.message is not None:
            kind = f"{shown(attempt.error_type)}: " if attempt.error_type else ""
            out.say(f"    {kind}{shown(attempt.message)}")
        if attempt.unreadable is not None:
            out.say(f"    not shown: {shown(attempt.unreadable)}")


def value_text(value: Any) -> str:
    """Return a payload or a result as one line for people."""
    return shown(json.dumps(plain(value), ensure_ascii=False), VALUE_MAX)
