"""`rediq dead`: the dead tasks of a queue."""

from __future__ import annotations

import argparse
from typing import Any

from rediq_trio.cli.flags import AddParser
from rediq_trio.cli.operate.session import Session
from rediq_trio.cli.operate.task import list_in, show
from rediq_trio.cli.operate.verbs import AFTER, LIMIT, NEWEST, QUEUE, QUEUES, TASK, Verbs
from rediq_trio.cli.statuses import DONE
from rediq_trio.cli.tasks.changes import change, retry
from rediq_trio.cli.tasks.chosen import CHOSEN, RATE, change_chosen
from rediq_trio.cli.tasks.filters import FILTER_FLAGS
from rediq_trio.cli.tasks.watching import WATCH, watched
from rediq_trio.observe.words import counted, shown
from rediq_trio.spec.lifecycle import State
from rediq_trio.tasks.handle import TaskHandle


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(description="List, show, retry and delete dead tasks.")
    verbs = Verbs.of(parser)
    verbs.add(
        "list", list_dead, "list dead tasks", QUEUES, LIMIT,
        NEWEST, AFTER, WATCH, *FILTER_FLAGS,
    )  # fmt: skip
    verbs.add("show", show, "show everything about a task", TASK)
    verbs.add(
        "retry", retry_dead, "make dead tasks ready again, by their ids or by a filter",
        CHOSEN, *FILTER_FLAGS, RATE, destroys=True,
    )  # fmt: skip
    verbs.add(
        "delete", delete_dead, "delete dead tasks, by their ids or by a filter",
        CHOSEN, *FILTER_FLAGS, destroys=True,
    )  # fmt: skip
    verbs.add("retry-all", retry_all, "make all of a queue ready again", QUEUE, destroys=True)
    verbs.add("delete-all", delete_all, "delete all of a queue", QUEUE, destroys=True)
    return parser


async def list_dead(session: Session) -> int:
    return await watched(session, lambda: list_in(session, State.DEAD))


async def retry_dead(session: Session) -> int:
    return await change_chosen(session, retry, State.DEAD)


async def delete_dead(session: Session) -> int:
    return await change_chosen(session, _delete, State.DEAD)


async def _delete(session: Session) -> int:
    async def one(handle: TaskHandle[Any]) -> str:
        state = (await handle.info()).state
        if state is not State.DEAD:
            return f"not changed: it is {state}"
        return "deleted" if await handle.delete() else "not changed: it is dead no more"

    return await change(session, "delete", one)


async def retry_all(session: Session) -> int:
    name = await session.known(session.arguments.queue)
    queue = session.client.queue(name)
    some = counted((await queue.stats()).dead, "dead task")
    if not await session.agreed(f"retry {some} of {shown(name)}"):
        return DONE
    done = await queue.dead.retry_all()
    return session.done(f"{counted(done, 'task')} ready again", queue=name, retried=done)


async def delete_all(session: Session) -> int:
    name = await session.known(session.arguments.queue)
    queue = session.client.queue(name)
    some = counted((await queue.stats()).dead, "dead task")
    if not await session.agreed(f"delete {some} of {shown(name)}"):
        return DONE
    done = await queue.dead.purge()
    return session.done(f"{counted(done, 'task')} deleted", queue=name, deleted=done)
