"""What is done to a queue: pause and resume, retry or delete its dead, flush it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rediq_trio.client import Client
from rediq_trio.dash.pages.page import KeyAct
from rediq_trio.dash.pages.selected import ask_selected
from rediq_trio.dash.question import AskedQuestion
from rediq_trio.dash.seen import Seen
from rediq_trio.observe.words import counted, shown
from rediq_trio.spec.lifecycle import State


def queue_acts(name_here: Callable[[Seen], str]) -> Sequence[KeyAct]:
    """Return the acts on the queue that `name_here` finds."""

    def on_queue(do: Callable[[Seen, str], None]) -> Callable[[Seen], None]:
        def begin(seen: Seen) -> None:
            if name := name_here(seen):
                do(seen, name)

        return begin

    return (
        KeyAct("p", "pause", on_queue(pause_or_resume)),
        KeyAct("r", "retry dead", on_queue(retry_dead)),
        KeyAct("D", "delete dead", on_queue(delete_dead)),
        KeyAct("F", "flush", on_queue(flush)),
    )


def pause_or_resume(seen: Seen, name: str) -> None:
    """Pause a queue, or resume a paused one."""
    queue = seen.queue(name)
    paused = queue is not None and queue.stats.paused

    async def change(client: Client) -> str:
        if paused:
            await client.queue(name).resume()
            return f"resumed {shown(name)}"
        await client.queue(name).pause()
        return f"paused {shown(name)}: p resumes it"

    seen.start(change)


def retry_dead(seen: Seen, name: str) -> None:
    """Ask, then retry the dead tasks of a queue."""
    seen.start(ask_selected(seen, "retry", name, State.DEAD, {}, f"Queue {shown(name)}"))


def delete_dead(seen: Seen, name: str) -> None:
    """Ask, then delete the dead tasks of a queue with their results."""
    seen.start(ask_selected(seen, "delete", name, State.DEAD, {}, f"Queue {shown(name)}"))


def flush(seen: Seen, name: str) -> None:
    """Ask for the queue's name, then remove all of its tasks."""
    queue = seen.queue(name)
    if queue is None:
        return
    active = queue.stats.active
    which = "the one that runs" if active == 1 else f"the {active:,} that run"
    runs = f", {which} too" if active else ""

    async def change(client: Client) -> str:
        return f"removed {counted(await client.queue(name).flush(), 'task')} of {shown(name)}"

    seen.question = AskedQuestion(
        f"Flush {shown(name)}?",
        (
            f"Removes all {counted(queue.tasks, 'task')} in one step{runs}.",
            "This cannot be undone.",
        ),
        f"Flush {counted(queue.tasks, 'task')}",
        change,
        named=name,
    )
