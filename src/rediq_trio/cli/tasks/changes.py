"""What `rediq task` changes: each verb takes ids, and prints of each task what became of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import trio

from rediq_trio._errors import ConfigError, TaskNotFound, TaskStateError
from rediq_trio.cli.operate.session import Session
from rediq_trio.cli.operate.stdin import input_lines
from rediq_trio.cli.statuses import DONE, FAILED, NOT_THERE
from rediq_trio.cli.tasks.flags import check_delay
from rediq_trio.observe.clock import due_instant
from rediq_trio.observe.words import counted, instant, relative, shown
from rediq_trio.spec.lifecycle import State
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.values.bounds import check_name
from rediq_trio.values.chance import utc_now


async def cancel(session: Session) -> int:
    async def one(handle: TaskHandle[Any]) -> str:
        state = await handle.cancel()
        if state is State.ACTIVE:
            return "asked to end"
        return "cancelled" if state is State.CANCELLED else f"not changed: it is {state}"

    return await change(session, "cancel", one)


async def retry(session: Session) -> int:
    async def one(handle: TaskHandle[Any]) -> str:
        before = (await handle.info()).state
        if before not in (State.DEAD, State.CANCELLED):
            return f"not changed: it is {before}"
        state = await handle.retry()
        good = state in (State.PENDING, State.BLOCKED, State.GROUPED)
        return f"ready again: {state}" if good else f"not changed: it is {state}"

    return await change(session, "retry", one)


async def delete(session: Session) -> int:
    async def one(handle: TaskHandle[Any]) -> str:
        gone = await handle.delete()
        return "deleted" if gone else "not changed: a worker runs it, cancel it first"

    return await change(session, "delete", one)


async def run_now(session: Session) -> int:
    async def one(handle: TaskHandle[Any]) -> str:
        return "ready now" if await handle.run_now() else "ready already"

    return await change(session, "run now", one)


async def reschedule(session: Session) -> int:
    options = session.arguments
    if (options.delay is None) == (options.at is None):
        raise ConfigError("task reschedule: pass one of --delay and --at")
    check_delay(options.delay)
    run_at = None if options.at is None else due_instant("--at", options.at)

    async def one(handle: TaskHandle[Any]) -> str:
        await handle.reschedule(delay=options.delay, run_at=run_at)
        due = (await handle.info()).run_at
        return f"due at {instant(due)} ({relative(due, utc_now())})"

    return await change(session, "reschedule", one)


async def requeue(session: Session) -> int:
    queue = check_name("--queue", session.arguments.queue)

    async def one(handle: TaskHandle[Any]) -> str:
        return f"is now {shown((await handle.requeue(queue)).id)}"

    return await change(session, "move", one, f" to {queue}")


async def again(session: Session) -> int:
    async def one(handle: TaskHandle[Any]) -> str:
        return f"enqueued again as {shown((await handle.enqueue_again()).id)}"

    return await change(session, "enqueue again", one)


async def change(
    session: Session, verb: str, one: Callable[[TaskHandle[Any]], Awaitable[str]], where: str = ""
) -> int:
    """Change the tasks that the command names, and print of each what became of it.

    Return the status: 3 if one is not there, else 1 if one did not change.
    """
    ids = await _ids(session.arguments.tasks)
    handles = [session.client.task(task_id) for task_id in ids]
    if not handles:
        session.out.say("no ids on standard input: nothing was changed")
        return DONE
    what = shown(ids[0]) if len(ids) == 1 else counted(len(ids), "task")
    if not await session.agreed(f"{verb} {what}{where}"):
        return DONE
    found = DONE
    for handle in handles:
        try:
            said = await one(handle)
        except TaskNotFound:
            said, found = "not there", NOT_THERE
        except TaskStateError as error:
            said = f"not changed: {error}"
        if said.startswith("not changed"):
            found = max(found, FAILED)
        session.out.object({"id": handle.id, "outcome": said})
        session.out.say(f"{shown(handle.id)}: {shown(said)}")
    return found


async def _ids(given: Sequence[str]) -> list[str]:
    if "-" not in given:
        return list(dict.fromkeys(given))
    lines = await trio.to_thread.run_sync(lambda: [*input_lines()], abandon_on_cancel=True)
    read = [task_id for line in lines for task_id in line.split()]
    return list(dict.fromkeys([each for each in given if each != "-"] + read))
