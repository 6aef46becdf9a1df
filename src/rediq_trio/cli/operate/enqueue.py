"""`rediq enqueue`: one task from the command line, or many from JSON lines."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, cast

import trio

from rediq_trio._errors import ConfigError, PayloadError, RediqError
from rediq_trio.cli.flags import AddParser
from rediq_trio.cli.operate.session import Session, operating_flags
from rediq_trio.cli.operate.stdin import input_lines
from rediq_trio.cli.operate.task import follow
from rediq_trio.cli.statuses import DONE
from rediq_trio.cli.tasks.filters import type_hint
from rediq_trio.cli.tasks.flags import (
    OPTIONS,
    read_json,
    read_payload,
    task_of,
)
from rediq_trio.cli.tasks.signatures import UNCHECKED, KnownSignatures
from rediq_trio.observe.clock import read_instant
from rediq_trio.observe.words import count, counted, shown
from rediq_trio.values.bounds import MAX_PAYLOAD
from rediq_trio.values.task import Task, Unique
from rediq_trio.wire.envelope import pack_value

ENQUEUED_AT_ONCE = 1_000
"""Tasks of one `enqueue_many`."""
JSON_LINE_MAX = 4 * 1024 * 1024
"""Characters of one JSON line."""
UNCHECKED_SHOWN = 3
"""How many types are named whose payloads were not checked."""
_Line = tuple[int, Task[Any]]
"""A task with the number of its line."""
_FIELDS = frozenset({
    "type", "payload", "queue", "priority", "delay", "run_at", "id", "max_retry", "max_crashes",
    "timeout", "expires", "deadline", "retention", "metadata", "depends_on", "group", "limit_key",
    "unique",
})  # fmt: skip
"""What a JSON line may have: options of `Task` with its values; `unique` is a key."""


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(
        description="Enqueue a task of a type. Its payload is one JSON value, or KEY=VALUE pairs, "
        "whose values are JSON where they can be read so, else text. With - in place of the type, "
        'tasks are read from standard input, one JSON object a line: {"type": ..., "payload": ...} '
        "and any options of a task. A payload that the handler would refuse is refused here, if a live worker "
        "of the queue has said what it takes."
    )
    parser.add_argument("type", metavar="TYPE", help="the handler's name; - for JSON lines")
    parser.add_argument("payload", metavar="JSON or KEY=VALUE", nargs="*", help="the payload")
    for flag, options in OPTIONS:
        parser.add_argument(flag, **options)
    parser.add_argument("--wait", action="store_true", help="show its progress and its result")
    flag, flag_options = UNCHECKED
    parser.add_argument(flag, **flag_options)
    operating_flags(parser, enqueue, changes=True)
    return parser


async def enqueue(session: Session) -> int:
    options = session.arguments
    if options.type == "-":
        if options.wait or options.payload or options.dry_run:
            raise ConfigError(
                "enqueue -: takes no payload, no --wait and no --dry-run; the lines have it all"
            )
        return await _enqueue_lines(session)
    task = task_of(options, options.type, read_payload(options.payload))
    known = None if options.unchecked else await KnownSignatures.read(session.client)
    checked = known is None or known.check(task.queue, task.type, task.payload)
    if not await session.agreed(f"enqueue a task of type {shown(task.type)}"):
        return DONE
    handle = await session.client.enqueue(task)
    session.out.object({"id": handle.id, "created": handle.created})
    session.out.say(shown(handle.id))
    if hint := await type_hint(session, [handle.queue], task.type):
        session.out.note(f"rediq: {shown(hint)}")
    elif known is not None and not checked:
        session.out.note(f"rediq: {known.not_checked(task.queue, task.type)}")
    return await follow(session, handle) if options.wait else DONE


async def _enqueue_lines(session: Session) -> int:
    done = existing = 0
    tasks, unchecked = _read_lines(input_lines()), dict[tuple[str, str], None]()
    while True:
        try:
            part = await trio.to_thread.run_sync(_next_part, tasks, abandon_on_cancel=True)
            if not part:
                break
            if not session.arguments.unchecked:
                unchecked |= await _check_lines(session, part)
            handles = await session.client.enqueue_many([task for _, task in part], wait=True)
        except RediqError:
            session.out.note(f"the {counted(done, 'task')} of the lines before were enqueued")
            raise
        for handle in handles:
            session.out.object({"id": handle.id, "created": handle.created})
        done += len(handles)
        existing += sum(not handle.created for handle in handles)
    there = f", {count(existing)} there already" if existing else ""
    session.out.say(f"{counted(done - existing, 'task')} enqueued{there}")
    _note_unchecked(session, [*unchecked])
    return DONE


async def _check_lines(session: Session, part: Iterable[_Line]) -> dict[tuple[str, str], None]:
    """Compare payloads with what workers say; return the queue and the type of those not checked."""
    known, unchecked = await KnownSignatures.read(session.client), dict[tuple[str, str], None]()
    for number, task in part:
        try:
            # Members of a group are the aggregator's.
            if task.group or not known.check(task.queue, task.type, task.payload):
                unchecked[task.queue, task.type] = None
        except PayloadError as error:
            raise PayloadError(f"line {number}: {error}") from None
    return unchecked


def _note_unchecked(session: Session, unchecked: Sequence[tuple[str, str]]) -> None:
    for queue, kind in unchecked[:UNCHECKED_SHOWN]:
        session.out.note(
            f"rediq: the payloads of {shown(kind, 80)} were not checked: "
            f"no live worker of {shown(queue)} said what it takes"
        )
    if len(unchecked) > UNCHECKED_SHOWN:
        more = counted(len(unchecked) - UNCHECKED_SHOWN, "other type")
        session.out.note(f"rediq: nor were those of {more}")


def _next_part(tasks: Iterator[_Line]) -> list[_Line]:
    return list(islice(tasks, ENQUEUED_AT_ONCE))


def _read_lines(source: Iterable[str]) -> Iterator[_Line]:
    for number, line in enumerate(source, 1):
        if line.strip():
            yield number, _read_line(f"line {number}", line)


def _read_line(where: str, line: str) -> Task[Any]:
    if len(line) > JSON_LINE_MAX:
        raise ConfigError(f"{where}: has {len(line):,} characters, {JSON_LINE_MAX:,} at most")
    found = read_json(where, line)
    fields = dict(cast("Mapping[str, Any]", found)) if isinstance(found, Mapping) else {}
    if not isinstance(fields.get("type"), str):
        raise ConfigError(
            f'{where}: must be an object like {{"type": "mail:send", "payload": {{}}}}'
        )
    if unknown := sorted(fields.keys() - _FIELDS):
        raise ConfigError(f"{where}: has {shown(unknown[0])}, which is no option of a task")
    for name in ("run_at", "expires", "deadline"):
        if isinstance(fields.get(name), str):
            fields[name] = read_instant(f"{where}: {name}", fields[name])
    kind, payload = fields.pop("type"), fields.pop("payload", {})
    try:
        if "unique" in fields:
            fields["unique"] = Unique(key=fields["unique"])
        task: Task[Any] = Task(kind, payload, **fields)
    except RediqError as error:
        raise ConfigError(f"{where}: {error}") from error
    # Here, where the number of the line is known: the client refuses it too.
    pack_value(payload, what=f"{where}: payload", most=MAX_PAYLOAD)
    return task
