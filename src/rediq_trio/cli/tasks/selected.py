"""What is done to the tasks of a selection: it asks first, and shows its progress."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable

from rediq_trio.admin.selection import Selection
from rediq_trio.cli.operate.session import Session
from rediq_trio.cli.statuses import DONE, FAILED
from rediq_trio.observe.words import count, counted, shown
from rediq_trio.spec.lifecycle import State
from rediq_trio.values.observed.bulk import BulkProgress

DONE_WORDS = {
    "retry": ("retried", "ready again"),
    "delete": ("deleted", "deleted"),
    "cancel": ("cancelled", "cancelled"),
    "requeue": ("moved", "moved"),
}
"""Of each change: the name of its number for programs, and what people read of its tasks."""
_CLEAR = "\r\x1b[K"


async def change_selected(
    session: Session,
    selection: Selection,
    verb: str,
    which: str = "",
    *,
    rate: float | None = None,
    queue: str | None = None,
) -> int:
    """Ask, then change the selected tasks as a verb of `DONE_WORDS` says; return the status.

    `which` is what they have in common, for people. `rate` is of retry, `queue` of requeue. What was
    done is printed, also when it is interrupted. The status is 1 if a task was refused.
    """
    field, said = DONE_WORDS[verb]
    if verb == "cancel" and selection.state is State.ACTIVE:
        said = "asked to end"
    # Made first: it refuses what cannot be done, before anybody is asked.
    change = _change(selection, verb, rate, queue)
    found, noun = await selection.count(), f"{selection.state.value} task"
    where = f"of {shown(selection.queue)}{which}"
    if not found:
        return session.done(f"no {noun}s {where}", **_facts(selection, field))
    what, to = ("move", f" to {shown(queue)}") if queue else (verb, "")
    if not await session.agreed(f"{what} {counted(found, noun)} {where}{to}"):
        return DONE
    last = await follow_steps(change, lambda step: f"{count(step.done)} {said}")
    done, refused = (last.done, last.refused) if last else (0, 0)
    session.done(f"{counted(done, 'task')} {said}", **_facts(selection, field, done, refused))
    if refused:
        session.out.say(
            f"{counted(refused, 'task')} refused: see 'rediq task list' for what is left"
        )
    return FAILED if refused else DONE


def _change(
    selection: Selection, verb: str, rate: float | None, queue: str | None
) -> AsyncIterator[BulkProgress]:
    match verb:
        case "retry":
            return selection.retry(rate=rate)
        case "cancel":
            return selection.cancel()
        case "requeue":
            assert queue is not None
            return selection.requeue(queue)
        case _:
            return selection.delete()


def _facts(selection: Selection, field: str, done: int = 0, refused: int = 0) -> dict[str, object]:
    return {"queue": selection.queue, field: done, "refused": refused}


async def follow_steps(
    steps: AsyncIterator[BulkProgress], said: Callable[[BulkProgress], str]
) -> BulkProgress | None:
    """Go through the steps of a change, with a line of progress if a person sees standard error.

    Return the last step; None if there was none. If it is interrupted or fails, what was done by then
    is printed on standard error.
    """
    person, last, over = sys.stderr.isatty(), None, False
    try:
        async for last in steps:
            if person:
                looked = f"{count(last.looked_at)} of {count(last.of)} looked at"
                print(f"{_CLEAR}{said(last)}, {looked}", end="", file=sys.stderr, flush=True)
        over = True
    finally:
        if person and last is not None:
            print(_CLEAR, end="", file=sys.stderr, flush=True)
        if not over and last is not None:
            _note_stop(last, said(last))
    return last


def _note_stop(last: BulkProgress, said: str) -> None:
    looked = f"{count(last.looked_at)} of {count(last.of)} looked at"
    again = "what was done last may not be counted; the same command goes on with the rest"
    print(f"stopped: {said}, {looked}; {again}", file=sys.stderr, flush=True)
