"""`rediq failures`: what has failed, by kind, and what is done to the dead tasks of a kind."""

from __future__ import annotations

import argparse
from typing import Any

import attrs

from rediq_trio._errors import did_you_mean
from rediq_trio.cli.flags import AddParser
from rediq_trio.cli.operate.output import cell
from rediq_trio.cli.operate.session import Session
from rediq_trio.cli.operate.verbs import LIMIT, QUEUE, QUEUES, Verbs, check_count
from rediq_trio.cli.statuses import DONE, NotThere
from rediq_trio.cli.tasks.selected import change_selected
from rediq_trio.observe.words import count, counted, relative, shown, when
from rediq_trio.spec.lifecycle import State
from rediq_trio.values.chance import utc_now
from rediq_trio.values.observed.failure_kind import FailureKind

KIND_HEADS = ("kind", "queue", "count", "first", "last", "type", "error type", "place", "message")
KIND_WORD: tuple[str, dict[str, Any]] = (
    "kind",
    {"metavar": "KIND", "help": "the kind, as 'rediq failures' lists it"},
)


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(
        description="Show what has failed, by kind; retry or delete the dead tasks of a kind. "
        "Without a verb, list the kinds.",
    )
    verbs = Verbs.of(parser)
    verbs.add("list", list_kinds, "list what has failed, by kind, the newest first", QUEUES, LIMIT)
    verbs.add("show", show_kind, "show everything about a kind of failure", QUEUE, KIND_WORD)
    verbs.add(
        "retry", change_kind, "make the dead tasks of a kind ready again", QUEUE, KIND_WORD,
        destroys=True,
    )  # fmt: skip
    verbs.add(
        "delete", change_kind, "delete the dead tasks of a kind", QUEUE, KIND_WORD, destroys=True
    )
    return parser


async def list_kinds(session: Session) -> int:
    limit = check_count("--limit", session.arguments.limit)
    names = await session.known_queues(session.arguments.queues)
    found = [(name, kind) for name in names for kind in await session.client.queue(name).failures()]
    found.sort(key=lambda each: each[1].last_seen, reverse=True)
    for name, kind in found[:limit]:
        session.out.object({"queue": name, **attrs.asdict(kind, recurse=False)})
    session.out.table(KIND_HEADS, [_row(name, kind) for name, kind in found[:limit]])
    if not found:
        session.out.say(f"nothing has failed in {', '.join(map(shown, names)) or 'any queue'}")
    elif len(found) > limit:
        session.out.say(f"and {counted(len(found) - limit, 'older kind')}: pass --limit")
    return DONE


def _row(name: str, kind: FailureKind) -> tuple[str, ...]:
    at = utc_now()
    return (
        cell(kind.kind), cell(name), count(kind.count), relative(kind.first_seen, at),
        relative(kind.last_seen, at), cell(kind.type, 30), cell(kind.error_type, 30),
        cell(kind.place, 40), cell(kind.unreadable or kind.message, 60),
    )  # fmt: skip


async def show_kind(session: Session) -> int:
    name, kind = await _known_kind(session)
    session.out.object({"queue": name, **attrs.asdict(kind, recurse=False)})
    at = utc_now()
    session.out.fields(f"kind {shown(kind.kind)} of {shown(name)}", [
        ("type", cell(kind.type)), ("error type", cell(kind.error_type)),
        ("message", cell(kind.message)), ("place", cell(kind.place)),
        ("failed attempts", count(kind.count)),
        ("first", when(kind.first_seen, at)), ("last", when(kind.last_seen, at)),
        *([("not shown", shown(kind.unreadable))] if kind.unreadable else []),
        *(("task", cell(task_id)) for task_id in kind.task_ids),
    ])  # fmt: skip
    for task_id in kind.task_ids[:1]:
        session.out.say(f"next: rediq task show {shown(task_id)}")
    for verb in ("retry", "delete"):
        session.out.say(f"next: rediq failures {verb} {shown(name)} {shown(kind.kind)}")
    return DONE


async def change_kind(session: Session) -> int:
    """Retry or delete the dead tasks of a kind: the verb says which."""
    name, kind = await _known_kind(session)
    selection = await session.client.queue(name).select(State.DEAD, kind=kind.kind)
    about = f" ({shown(kind.error_type, 40)})" if kind.error_type else ""
    which = f" of the kind {shown(kind.kind)}{about}"
    return await change_selected(session, selection, session.arguments.verb, which)


async def _known_kind(session: Session) -> tuple[str, FailureKind]:
    """Return the queue and the kind that are named; raise `NotThere`."""
    name, wanted = await session.known(session.arguments.queue), session.arguments.kind
    kinds = {each.kind: each for each in await session.client.queue(name).failures()}
    if wanted not in kinds:
        hint = did_you_mean(wanted, kinds) or f"; see 'rediq failures {name}'"
        raise NotThere(f"nothing of the kind {shown(wanted, 40)} has failed in {shown(name)}{hint}")
    return name, kinds[wanted]
