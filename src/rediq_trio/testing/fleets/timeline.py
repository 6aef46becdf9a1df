"""The history of a run as text, without what servers do all the time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from rediq_trio.spec.messages import Claimed, Due, Outcome
from rediq_trio.testing.effects import Effect, History
from rediq_trio.testing.fleets.fleet import FleetResult
from rediq_trio.testing.fleets.watching import FleetNote

CHATTER_OF_SERVERS = frozenset(
    {"register", "unregister", "sample", "tally", "note_size", "trim", "set_group_rules", "agenda",
     "watch", "purge", "declare"}
)  # fmt: skip
"""Effects that say nothing about tasks, or that come with every start."""
TIMELINE_WIDTH = 160


def timeline(result: FleetResult) -> str:
    """Return what happened to tasks and hosts, a line each, in the order of time."""
    return timeline_of(result.history, result.notes)


def timeline_of(history: History, notes: Iterable[FleetNote]) -> str:
    """Return the effects of a history and what happened beside them, a line each, in the order of time."""
    return "\n".join(line[:TIMELINE_WIDTH] for line in _lines(history, iter(notes)))


def _lines(history: History, notes: Iterator[FleetNote]) -> Iterator[str]:
    note = next(notes, None)
    for number, effect in enumerate(history):
        while note is not None and note.effects <= number:
            yield f"{note.at:10.3f} s  {note.text}"
            note = next(notes, None)
        if effect.name not in CHATTER_OF_SERVERS and (text := describe(effect)):
            yield f"{effect.at:10.3f} s  {effect.host} {text}"
    while note is not None:
        yield f"{note.at:10.3f} s  {note.text}"
        note = next(notes, None)


def describe(effect: Effect) -> str:
    """Return what an effect did, for a reader; "" for nothing."""
    place = f"{effect.name} no. {effect.nth}"
    if effect.error is not None:
        return f"{place}: {type(effect.error).__name__}"
    queue = effect.queue or ""
    about = ", ".join(f"{queue}/{each}" for each in _about(effect))
    moved = f"{effect.answer.moved} tasks" if isinstance(effect.answer, Due) else ""
    return f"{place}: {about or moved or queue}"


def _about(effect: Effect) -> Iterator[str]:
    """Return the tasks that an effect is about, each with what became of it."""
    if isinstance(effect.answer, Claimed):
        for lease in effect.answer.leases:
            yield f"{lease.fence.id} attempt {lease.attempt}, delivery {lease.fence.deliveries}"
        return
    many = effect.kwargs.get("outcomes", effect.args[1] if len(effect.args) > 1 else ())
    if isinstance(many, str):
        yield many
    for one in cast("list[object]", many) if isinstance(many, list | tuple) else ():
        fence = getattr(one, "fence", None)
        if fence is not None:
            ended = type(one).__name__.lower() if isinstance(one, Outcome) else ""
            yield f"{fence.id} {ended}".rstrip()
        elif (task_id := getattr(one, "id", None)) is not None:
            yield str(task_id)
