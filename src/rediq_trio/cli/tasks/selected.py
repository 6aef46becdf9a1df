"""What is done to the tasks of a selection: it asks first, and shows its progress."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable

from rediq_trio.admin.selection import Selection
from rediq_trio.cli.operate.session import Session
from rediq_trio.cli.statuses import DONE, FAILED
from rediq_trio.observe.words import count, counted, shown
from rediq_trio.values.observed.bulk import BulkProgress

DONE_WORDS = {"retry": ("retried", "ready again"), "delete": ("deleted", "deleted")}
"""Of each change: the name of its number for programs, and what people read of its tasks."""
_CLEAR = "\r\x1b[K"


async def change_selected(
    session: Session, selection: Selection, verb: str, which: str = ""
) -> int:
    """Ask, then `retry` or `delete` the selected tasks; print what was done, and return the status.

    `which` is what they have in common, for people. The status is 1 if one of them was refused.
    """
    field, said = DONE_WORDS[verb]
    found, noun = await selection.count(), f"{selection.state.value} task"
    where = f"of {shown(selection.queue)}{which}"
    if not found:
        return session.done(f"no {noun}s {where}", **_facts(selection, field))
    if not await session.agreed(f"{verb} {counted(found, noun)} {where}"):
        return DONE
    change = selection.retry() if verb == "retry" else selection.delete()
    last = await follow_steps(change, lambda step: f"{count(step.done)} {said}")
    done, refused = (last.done, last.refused) if last else (0, 0)
    session.done(f"{counted(done, 'task')} {said}", **_facts(selection, field, done, refused))
    if refused:
        session.out.say(
            f"{counted(refused, 'task')} refused: see 'rediq task list' for what is left"
        )
    return FAILED if refused else DONE


def _facts(selection: Selection, field: str, done: int = 0, refused: int = 0) -> dict[str, object]:
    return {"queue": selection.queue, field: done, "refused": refused}


async def follow_steps(
    steps: AsyncIterator[BulkProgress], said: Callable[[BulkProgress], str]
) -> BulkProgress | None:
    """Go through the steps of a change, with a line of progress if a person sees standard error.

    Return the last step; None if there was none.
    """
    person, last = sys.stderr.isatty(), None
    try:
        async for last in steps:
            if person:
                looked = f"{count(last.looked_at)} of {count(last.of)} looked at"
                print(f"{_CLEAR}{said(last)}, {looked}", end="", file=sys.stderr, flush=True)
    finally:
        if person and last is not None:
            print(_CLEAR, end="", file=sys.stderr, flush=True)
    return last
