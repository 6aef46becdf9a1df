"""`rediq task`: what an operator sees and changes of tasks."""

from __future__ import annotations

import argparse
from typing import Any

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.cli.flags import AddParser
from rediq_trio.cli.operate.output import cell
from rediq_trio.cli.operate.session import Session
from rediq_trio.cli.operate.verbs import (
    AFTER,
    LIMIT,
    NEWEST,
    QUEUES,
    TASK,
    TASKS,
    Verbs,
    check_count,
)
from rediq_trio.cli.statuses import DONE, FAILED
from rediq_trio.cli.tasks.changes import (
    again,
    cancel,
    delete,
    requeue,
    reschedule,
    retry,
    run_now,
)
from rediq_trio.cli.tasks.chosen import change_chosen, flags_of
from rediq_trio.cli.tasks.edit import add_edit
from rediq_trio.cli.tasks.files import add_files
from rediq_trio.cli.tasks.filters import (
    FILTER_FLAGS,
    check_kind_known,
    filter_of,
    find_tasks,
    type_hint,
)
from rediq_trio.cli.tasks.flags import OPTIONS
from rediq_trio.cli.tasks.shown import show_task
from rediq_trio.cli.tasks.watching import WATCH, watched
from rediq_trio.cli.tasks.why import explain_task
from rediq_trio.observe.single import TaskView
from rediq_trio.observe.words import relative, shown
from rediq_trio.spec.lifecycle import State
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.values.chance import utc_now
from rediq_trio.values.hiding import Hiding
from rediq_trio.values.task import TaskInfo

TASK_HEADS = ("task", "type", "state", "attempt", "priority", "due", "worker", "error")


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(description="List, show, wait for, cancel, retry and delete tasks.")
    verbs = Verbs.of(parser)
    verbs.add(
        "list", list_tasks, "list the tasks in one state, or those of them that a filter chooses", QUEUES,
        ("--state", {"choices": [s.value for s in State], "default": "pending",
                     "help": "the state (pending)"}),
        LIMIT, NEWEST, AFTER, WATCH, *FILTER_FLAGS,
    )  # fmt: skip
    verbs.add("show", show, "show everything about a task", TASK)
    verbs.add("why", explain_task, "say why a task waits, or how it ended", TASK)
    verbs.add("wait", wait, "wait until a task has ended, and show its progress", TASK)
    for verb, work, said in _CHOSEN_VERBS:
        verbs.add(
            verb, work, f"{said}, by their ids or by a filter", *flags_of(verb), destroys=True
        )
    verbs.add("run-now", run_now, "make tasks that wait for their time ready", TASKS, changes=True)
    verbs.add(
        "reschedule",
        reschedule,
        "make tasks due at another time",
        TASKS,
        *(option for option in OPTIONS if option[0] in ("--delay", "--at")),
        changes=True,
    )
    verbs.add(
        "requeue", requeue_chosen, "move tasks to another queue, with new ids, by their ids or by a filter",
        *flags_of("requeue"), ("--queue", {"required": True, "help": "the queue"}), destroys=True,
    )  # fmt: skip
    verbs.add(
        "again",
        again,
        "enqueue new tasks with the payload and options of these",
        TASKS,
        changes=True,
    )
    add_edit(verbs)
    add_files(verbs)
    return parser


async def cancel_chosen(session: Session) -> int:
    return await change_chosen(session, cancel)


async def retry_chosen(session: Session) -> int:
    return await change_chosen(session, retry)


async def delete_chosen(session: Session) -> int:
    return await change_chosen(session, delete)


async def requeue_chosen(session: Session) -> int:
    return await change_chosen(session, requeue)


_CHOSEN_VERBS = (
    ("cancel", cancel_chosen, "cancel tasks; those that run are asked to end"),
    ("retry", retry_chosen, "make dead or cancelled tasks ready again"),
    ("delete", delete_chosen, "delete tasks with their results"),
)


async def list_tasks(session: Session) -> int:
    others = "'rediq queue list' counts the tasks in other states, and --state lists them"
    return await watched(session, lambda: list_in(session, session.arguments.state, others))


async def list_in(session: Session, state: str, if_none: str = "") -> int:
    """List the tasks of queues in one state, or those of them that a filter chooses.

    `if_none` is where to look when there is no task in that state.
    """
    options = session.arguments
    check_count("--limit", options.limit)
    wanted = filter_of(options)
    names = await session.known_queues(options.queues)
    if options.after is not None and (wanted or len(names) != 1):
        raise ConfigError(
            "--after: a search has no pages; pass a greater --limit"
            if wanted
            else "--after: name the one queue whose list continues there"
        )
    rows: list[TaskInfo] = []
    for name in names:
        if (left := options.limit - len(rows)) and wanted:
            rows += await find_tasks(session, name, state, left, wanted)
        elif left:
            rows += await _page(session, name, state, left)
    rows = list(map(Hiding.from_environment().info, rows))
    for info in rows:
        session.out.object(attrs.asdict(info, recurse=False))
    session.out.table(TASK_HEADS, [row_of(info) for info in rows])
    if not rows:
        if (kind := wanted.get("kind")) is not None:
            await check_kind_known(session, names, kind)
        if (wanted_type := wanted.get("type")) is not None and (
            hint := await type_hint(session, names, wanted_type)
        ):
            session.out.note(f"rediq: {shown(hint)}")
        more = "no more" if options.after else "no such" if wanted else "no"
        where = ", ".join(map(shown, names)) or "any queue"
        hint = f"; {if_none}" if if_none and names and more == "no" else ""
        session.out.say(f"{more} {state} tasks in {where}{hint}")
    elif len(rows) == options.limit and wanted:
        session.out.say(f"the search ended with {options.limit}: there may be more, see --limit")
    elif len(rows) == options.limit and len(names) == 1:
        session.out.say(f"next page: --after {rows[-1].cursor}")
    return DONE


async def _page(session: Session, name: str, state: str, limit: int) -> list[TaskInfo]:
    options = session.arguments
    queue = session.client.queue(name)
    try:
        return await queue.tasks(state, limit=limit, after=options.after, newest=options.newest)
    except ConfigError as error:
        raise ConfigError(f"--after: {error}") from None


def row_of(info: TaskInfo) -> tuple[str, ...]:
    """Return the cells of a task."""
    due = info.finished_at or info.started_at or info.run_at
    return (
        cell(info.id), cell(info.type, 30), info.state.value,
        f"{info.attempt}/{info.max_retry + 1}", str(info.priority), relative(due, utc_now()),
        cell(info.worker, 24), cell(info.error, 60),
    )  # fmt: skip


async def show(session: Session) -> int:
    view = await session.task_view(session.client.task(session.arguments.task))
    show_task(session.out, view)
    return DONE


async def wait(session: Session) -> int:
    handle = session.client.task(session.arguments.task)
    await session.task_info(handle)
    return await follow(session, handle)


async def follow(session: Session, handle: TaskHandle[Any]) -> int:
    """Print the progress of a task, then what became of it; return 1 unless it completed."""
    async for progress in handle.progress():
        session.out.say(f"{progress.percent:g} % {shown(progress.message or '')}".rstrip())
    info = await handle.wait()
    show_task(session.out, TaskView(at=utc_now(), info=info))
    return DONE if info.state is State.COMPLETED else FAILED
