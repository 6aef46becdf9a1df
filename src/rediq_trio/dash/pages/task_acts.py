"""What is done to tasks: one or few by their ids, or all that a filter chooses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from rediq_trio._errors import RediqError
from rediq_trio.client import Client
from rediq_trio.dash.pages.selected import UNDONE, ask_selected
from rediq_trio.dash.question import AskedQuestion
from rediq_trio.dash.seen import Seen
from rediq_trio.observe.words import counted, shown
from rediq_trio.spec.lifecycle import State
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.values.filters import FilterOptions

Everything = tuple[str, State, FilterOptions, str] | None
"""The queue, the state, the filter and its words, where all that match are meant."""
TaskChange = Callable[[TaskHandle[Any]], Awaitable[object]]


def retry_tasks(seen: Seen, ids: Sequence[str], everything: Everything = None) -> None:
    """Retry one task at once; ask before more are retried."""
    _change(seen, "retry", "retried", ids, everything, lambda task: task.retry(), asks=len(ids) > 1)


def run_tasks_now(seen: Seen, ids: Sequence[str]) -> None:
    """Make tasks that wait for their time ready now."""
    _change(seen, "run", "made ready", ids, None, lambda task: task.run_now(), asks=len(ids) > 1)


def cancel_tasks(seen: Seen, ids: Sequence[str], everything: Everything = None) -> None:
    """Ask, then cancel tasks; those that run are asked to end."""
    _change(seen, "cancel", "cancelled", ids, everything, lambda task: task.cancel(), asks=True)


def delete_tasks(seen: Seen, ids: Sequence[str], everything: Everything = None) -> None:
    """Ask, then delete tasks with their results."""
    _change(seen, "delete", "deleted", ids, everything, lambda task: task.delete(), asks=True)


def _change(
    seen: Seen, verb: str, done: str, ids: Sequence[str], everything: Everything, change: TaskChange,
    *, asks: bool,
) -> None:  # fmt: skip
    if everything is not None:
        queue, state, wanted, which = everything
        seen.start(ask_selected(seen, verb, queue, state, wanted, which))
        return
    if not ids:
        seen.say("there is no task here", refused=True)
        return
    some = shown(ids[0], 60) if len(ids) == 1 else counted(len(ids), "task")

    async def run(client: Client) -> str:
        return await _each(client, ids, done, change)

    if not asks:
        seen.start(run)
        return
    lines = tuple(text for text in (*map(shown, ids[:3]), UNDONE.get(verb, "")) if text)
    seen.question = AskedQuestion(
        f"{verb.capitalize()} {some}?", lines, f"{verb.capitalize()} {some}", run
    )


async def _each(client: Client, ids: Sequence[str], done: str, change: TaskChange) -> str:
    made, failed = 0, list[str]()
    for task_id in ids:
        try:
            await change(client.task(task_id))
        except RediqError as error:
            failed.append(str(error))
        else:
            made += 1
    some = shown(ids[0], 60) if len(ids) == 1 else counted(made, "task")
    if failed:
        return f"{done} {made} of {len(ids)}: {shown(failed[0], 200)}"
    return f"{done} {some}"
