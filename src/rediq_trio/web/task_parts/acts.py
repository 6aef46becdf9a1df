"""What is done to one task: each act says in one sentence what it did, or why it did not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from rediq_trio._errors import ConfigError, TaskChanged, TaskNotFound, TaskStateError
from rediq_trio.observe.clock import due_instant
from rediq_trio.observe.words import read_duration, relative
from rediq_trio.spec.lifecycle import WAITING, State
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.values.bounds import check_name
from rediq_trio.values.task import TaskInfo
from rediq_trio.web.site.page import Act, Done, PageAnswer, Right, Undo, Visit
from rediq_trio.web.task_parts.editing import (
    ask_edit,
    done,
    edit_task,
    handle_of,
    name_of,
    once,
    sheet,
)
from rediq_trio.web.task_parts.life import ENDED_STATES

READY = (State.PENDING, State.BLOCKED, State.GROUPED)
NOT_RUNNING = tuple(each for each in State if each is not State.ACTIVE)
MOVABLE = (State.SCHEDULED, State.PENDING, State.RETRY, State.DEAD, State.CANCELLED)
DUE_LATER = (State.SCHEDULED, State.RETRY)


@attrs.frozen
class TaskAct:
    """A button on the page of a task."""

    name: str
    word: str
    asks: bool
    kind: str = ""
    key: str = ""


_ACTS: tuple[tuple[TaskAct, Right, tuple[State, ...]], ...] = (
    (TaskAct("retry", "Retry", False, "go", "r"), Right.ACT, (State.DEAD, State.CANCELLED)),
    (TaskAct("run-now", "Run now", False), Right.ACT, DUE_LATER),
    (TaskAct("reschedule", "Reschedule…", True), Right.CHANGE, (*DUE_LATER, State.PENDING)),
    (TaskAct("edit", "Edit…", True), Right.CHANGE, NOT_RUNNING),
    (TaskAct("move", "Move…", True), Right.CHANGE, MOVABLE),
    (TaskAct("again", "Enqueue again…", True), Right.CHANGE, ENDED_STATES),
    (TaskAct("cancel", "Cancel…", True, "end", "c"), Right.ACT, (*WAITING, State.ACTIVE)),
    (TaskAct("delete", "Delete…", True, "end", "D"), Right.CHANGE, NOT_RUNNING),
)  # fmt: skip


def acts_of(visit: Visit, info: TaskInfo) -> list[TaskAct]:
    """Return the acts that this visitor may do to a task as it is now."""
    found = [act for act, need, states in _ACTS if info.state in states and visit.may(need)]
    if info.payload_missing is not None or info.members:
        found = [act for act in found if act.name != "edit"]
    return found


def _guarded(
    act: Callable[[Visit], Awaitable[Done | PageAnswer]],
) -> Callable[[Visit], Awaitable[Done | PageAnswer]]:
    """Return the act; what somebody else did meanwhile is said, and is no error."""

    async def guarded(visit: Visit) -> Done | PageAnswer:
        try:
            return await act(visit)
        except TaskNotFound:
            said = f"Not done: {name_of(visit.params['task'])} is gone; somebody deleted it, or it was purged."
            return done(visit, said, failed=True)
        except TaskChanged as error:
            return done(
                visit, f"Not done: somebody else changed it meanwhile. {error}.", failed=True
            )
        except TaskStateError as error:
            return done(visit, f"Not done: {error}.", failed=True)

    return guarded


async def _retry(visit: Visit) -> Done:
    handle = handle_of(visit)
    before = (await handle.info()).state
    if before not in (State.DEAD, State.CANCELLED):
        return done(visit, f"Not retried: {name_of(handle.id)} is {before.value} now.", failed=True)
    state = await handle.retry()
    if state not in READY:
        return done(
            visit, f"Not retried: {name_of(handle.id)} stays {state.value}; its unique key has another "
            "holder, or a task that it needs did not complete.", failed=True,
        )  # fmt: skip
    return done(visit, f"Retried {name_of(handle.id)}: it is {state.value}.")


async def _cancel(visit: Visit) -> Done:
    handle = handle_of(visit)
    before = (await handle.info()).state
    state = await handle.cancel()
    if state is State.CANCELLED and before is not state:
        undo = Undo(path=f"/tasks/{handle.id}/retry", word="Revive")
        return done(
            visit, f"Cancelled {name_of(handle.id)}.", undo=undo if visit.may(Right.ACT) else None
        )
    if state is State.ACTIVE:
        return done(
            visit, f"Asked the worker of {name_of(handle.id)} to cancel it; it may finish first."
        )
    return done(visit, f"Not cancelled: {name_of(handle.id)} is {state.value}.", failed=True)


async def _delete(visit: Visit) -> Done:
    handle = handle_of(visit)
    info = await handle.info()
    if not await handle.delete():
        return done(
            visit, f"Not deleted: a worker runs {name_of(handle.id)}; cancel it first.", failed=True
        )
    to = visit.link(f"/queues/{info.queue}/{info.state.value}")
    return Done(said=f"Deleted {name_of(handle.id)}.", to=to)


async def _run_now(visit: Visit) -> Done:
    handle = handle_of(visit)
    ready = await handle.run_now()
    word = "is ready now" if ready else "was ready already"
    return done(visit, f"{name_of(handle.id)} {word}.")


async def _reschedule(visit: Visit) -> Done | PageAnswer:
    handle = handle_of(visit)
    delay, at = visit.form.get("delay", "").strip(), visit.form.get("at", "").strip()
    try:
        if bool(delay) == bool(at):
            raise ConfigError("fill in one of the two: in how long, or when")
        try:
            seconds = read_duration(delay) if delay else None
        except ValueError as error:
            raise ConfigError(f"in how long: {error}") from None
        run_at = due_instant("when", at) if at else None
        await handle.reschedule(delay=seconds, run_at=run_at)
    except ConfigError as error:
        return await _ask_reschedule(visit, str(error))
    due = (await handle.info()).run_at
    return done(visit, f"{name_of(handle.id)} is due {relative(due, visit.now)}.")


async def _move(visit: Visit) -> Done | PageAnswer:
    handle = handle_of(visit)
    try:
        queue = check_name("queue", visit.form.get("queue", "").strip())
        moved = await handle.requeue(queue)
    except ConfigError as error:
        return await _ask_move(visit, str(error))
    return Done(
        said=f"Moved {name_of(handle.id)} to {queue}: it is {name_of(moved.id)} there.",
        to=visit.link(f"/tasks/{moved.id}"),
    )


async def _again(visit: Visit) -> Done:
    handle = handle_of(visit)
    return await once(visit, lambda: _enqueue_again(visit, handle))


async def _enqueue_again(visit: Visit, handle: TaskHandle[Any]) -> Done:
    again = await handle.enqueue_again()
    if not again.created:
        said = f"Nothing new: {name_of(again.id)} has the unique key already."
    else:
        said = f"Enqueued {name_of(handle.id)} again as {name_of(again.id)}."
    return Done(said=said, to=visit.link(f"/tasks/{again.id}"))


async def _ask_cancel(visit: Visit) -> PageAnswer:
    info = await handle_of(visit).info()
    runs = (
        "Its worker is asked to cancel its handler, which may finish first."
        if info.state is State.ACTIVE
        else ("It will not run; it can be revived as long as it is kept.")
    )
    more = ""
    if info.dependent_count:
        more = f" {info.dependent_count:,} tasks that need it are notified."
    return await sheet(
        visit,
        f"Cancel {name_of(info.id)}?",
        f"{info.type} is {info.state.value}. {runs}{more}",
        "Cancel the task",
        end=True,
    )


async def _ask_delete(visit: Visit) -> PageAnswer:
    info = await handle_of(visit).info()
    why = f"{info.type} is {info.state.value}. It is removed with its payload and result. This cannot be undone."
    return await sheet(visit, f"Delete {name_of(info.id)}?", why, "Delete the task", end=True)


async def _ask_reschedule(visit: Visit, mistake: str = "") -> PageAnswer:
    info = await handle_of(visit).info()
    fields = (
        ("delay", "In how long", visit.form.get("delay", ""), "10m"),
        ("at", "Or when", visit.form.get("at", ""), "2026-12-24T18:00+01:00"),
    )
    why = f"{info.type} is {info.state.value}, due {relative(info.run_at, visit.now)}. Its attempts stay counted."
    return await sheet(
        visit, f"Reschedule {name_of(info.id)}?", why, "Reschedule", mistake=mistake, fields=fields
    )


async def _ask_move(visit: Visit, mistake: str = "") -> PageAnswer:
    info = await handle_of(visit).info()
    fields = (("queue", "To the queue", visit.form.get("queue", ""), ""),)
    why = f"{info.type} leaves {info.queue} and begins anew in another queue, with another id and new counters."
    return await sheet(
        visit, f"Move {name_of(info.id)}?", why, "Move", mistake=mistake, fields=fields
    )


async def _ask_again(visit: Visit) -> PageAnswer:
    info = await handle_of(visit).info()
    why = f"A new task of {info.type} with the same payload and options is enqueued. "
    why += f"This one stays {info.state.value}."
    return await sheet(visit, f"Enqueue {name_of(info.id)} again?", why, "Enqueue again")


def _act(name: str, do: Any, ask: Any = None) -> Act:
    need = next(need for act, need, _ in _ACTS if act.name == name)
    return Act(f"/tasks/{{task:path}}/{name}", _guarded(do), ask, need)


ACTS: tuple[Act, ...] = (
    _act("retry", _retry), _act("run-now", _run_now), _act("cancel", _cancel, _ask_cancel),
    _act("delete", _delete, _ask_delete), _act("reschedule", _reschedule, _ask_reschedule),
    _act("move", _move, _ask_move), _act("again", _again, _ask_again), _act("edit", edit_task, ask_edit),
)  # fmt: skip
