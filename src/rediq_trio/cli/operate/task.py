"""`rediq task`: what an operator sees and changes of tasks."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs
import trio

from rediq_trio._errors import ConfigError, TaskNotFound
from rediq_trio.cli.flags import AddParser
from rediq_trio.cli.operate.output import cell
from rediq_trio.cli.operate.session import Session
from rediq_trio.cli.operate.verbs import LIMIT, QUEUES, TASK, TASKS, Verbs
from rediq_trio.cli.operate.why import explain_task
from rediq_trio.cli.statuses import DONE, FAILED, NOT_THERE
from rediq_trio.observe.as_json import plain
from rediq_trio.observe.clock import now
from rediq_trio.observe.words import count, counted, relative, shown, when
from rediq_trio.spec.lifecycle import State
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.values.task import TaskInfo

HEADS = ("task", "type", "state", "attempt", "priority", "due", "worker", "error")
VALUE_MAX = 2_000
"""Characters of a result that are shown to people; `--json` has all of it."""


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(description="List, show, wait for, cancel, retry and delete tasks.")
    verbs = Verbs.of(parser)
    verbs.add(
        "list", list_tasks, "list the tasks in one state", QUEUES,
        ("--state", {"choices": [s.value for s in State], "default": "pending",
                     "help": "the state (pending)"}),
        LIMIT,
        ("--after", {"metavar": "CURSOR", "default": None,
                     "help": "go on behind this place: the last line of a page says which"}),
    )  # fmt: skip
    verbs.add("show", show, "show everything about a task", TASK)
    verbs.add("why", explain_task, "say why a task waits, or how it ended", TASK)
    verbs.add("wait", wait, "wait until a task has ended, and show its progress", TASK)
    verbs.add(
        "cancel", cancel, "cancel tasks; those that run are asked to end", TASKS, destroys=True
    )
    verbs.add("retry", retry, "make dead or cancelled tasks ready again", TASKS, destroys=True)
    verbs.add("delete", delete, "delete tasks with their results", TASKS, destroys=True)
    return parser


async def list_tasks(session: Session) -> int:
    return await list_in(session, session.arguments.state)


async def list_in(session: Session, state: str) -> int:
    """List the tasks of queues in one state."""
    options = session.arguments
    names = await session.known_queues(options.queues)
    if options.after is not None and len(names) != 1:
        raise ConfigError("--after: name the one queue whose list goes on there")
    rows: list[TaskInfo] = []
    for name in names:
        if len(rows) < options.limit:
            left = options.limit - len(rows)
            queue = session.client.queue(name)
            rows += await queue.tasks(state, limit=left, after=options.after)
    for info in rows:
        session.out.object(attrs.asdict(info, recurse=False))
    session.out.table(HEADS, [row_of(info) for info in rows])
    if not rows:
        session.out.say(f"no {state} tasks in {', '.join(map(shown, names)) or 'any queue'}")
    elif len(rows) == options.limit and len(names) == 1:
        session.out.say(f"next page: --after {rows[-1].cursor}")
    return DONE


def row_of(info: TaskInfo) -> tuple[str, ...]:
    """Return the cells of a task."""
    due = info.finished_at or info.started_at or info.run_at
    return (
        cell(info.id), cell(info.type, 30), info.state.value,
        f"{info.attempt}/{info.max_retry + 1}", str(info.priority), relative(due, now()),
        cell(info.worker, 24), cell(info.error, 60),
    )  # fmt: skip


async def show(session: Session) -> int:
    info = await session.client.task(session.arguments.task).info()
    show_info(session, info)
    return DONE


def show_info(session: Session, info: TaskInfo) -> None:
    """Print all that is known about a task."""
    session.out.object(attrs.asdict(info, recurse=False))
    at, rows = now(), [("type", cell(info.type)), ("state", info.state.value)]
    rows += [
        ("attempt", f"{count(info.attempt)} of {count(info.max_retry + 1)}"),
        ("deliveries", f"{count(info.deliveries)}, crashes {count(info.crashes)}"),
        ("priority", str(info.priority)),
        ("created", when(info.created_at, at)), ("due", when(info.run_at, at)),
        ("started", when(info.started_at, at)), ("finished", when(info.finished_at, at)),
        ("worker", cell(info.worker)),
    ]  # fmt: skip
    if info.deadline is not None:
        rows.append(("deadline", when(info.deadline, at)))
    if info.progress is not None:
        said = cell(info.progress.message)
        rows.append(("progress", f"{info.progress.percent:g} % {said if said != '-' else ''}"))
    rows += [("depends on", cell(one)) for one in info.depends_on]
    if info.group is not None:
        rows.append(("group", cell(info.group)))
    if info.members:
        rows.append(("members", counted(len(info.members), "task")))
    rows += [("metadata", f"{shown(k)}={shown(v)}") for k, v in info.metadata.items()]
    if info.error is not None:
        rows.append(("error", cell(info.error)))
    if info.state is State.COMPLETED:
        rows.append(("result", value_text(info.result)))
    session.out.fields(f"task {shown(info.id)}", rows)


def value_text(value: Any) -> str:
    """Return a payload or a result as one line for people."""
    return shown(json.dumps(plain(value), ensure_ascii=False), VALUE_MAX)


async def wait(session: Session) -> int:
    return await follow(session, session.client.task(session.arguments.task))


async def follow(session: Session, handle: TaskHandle[Any]) -> int:
    """Show the progress of a task, then what became of it; return 1 unless it completed."""
    async for progress in handle.progress():
        session.out.say(f"{progress.percent:g} % {shown(progress.message or '')}".rstrip())
    info = await handle.wait()
    show_info(session, info)
    return DONE if info.state is State.COMPLETED else FAILED


async def cancel(session: Session) -> int:
    async def one(handle: TaskHandle[Any]) -> str:
        state = await handle.cancel()
        if state is State.ACTIVE:
            return "asked to end"
        return "cancelled" if state is State.CANCELLED else f"not changed: it is {state}"

    return await change(session, "cancel", one)


async def retry(session: Session) -> int:
    async def one(handle: TaskHandle[Any]) -> str:
        state = await handle.retry()
        good = state in (State.PENDING, State.BLOCKED, State.GROUPED)
        return f"ready again: {state}" if good else f"not changed: it is {state}"

    return await change(session, "retry", one)


async def delete(session: Session) -> int:
    async def one(handle: TaskHandle[Any]) -> str:
        gone = await handle.delete()
        return "deleted" if gone else "not changed: a worker runs it, cancel it first"

    return await change(session, "delete", one)


async def change(
    session: Session, verb: str, one: Callable[[TaskHandle[Any]], Awaitable[str]]
) -> int:
    """Change the tasks that the command names, and say of each what became of it.

    The status is 3 if one is not there, else 1 if one did not change.
    """
    ids = await _ids(session.arguments.tasks)
    handles = [session.client.task(task_id) for task_id in ids]
    if not handles:
        session.out.say("no ids were given: nothing was changed")
        return DONE
    what = f"{verb} {shown(ids[0])}" if len(ids) == 1 else f"{verb} {counted(len(ids), 'task')}"
    if not await session.agreed(what):
        return DONE
    found = DONE
    for handle in handles:
        try:
            said = await one(handle)
        except TaskNotFound:
            said, found = "not there", NOT_THERE
        if said.startswith("not changed"):
            found = max(found, FAILED)
        session.out.object({"id": handle.id, "outcome": said})
        session.out.say(f"{shown(handle.id)}: {said}")
    return found


async def _ids(given: Sequence[str]) -> list[str]:
    if "-" not in given:
        return list(dict.fromkeys(given))
    text = await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
    return list(dict.fromkeys([each for each in given if each != "-"] + text.split()))
