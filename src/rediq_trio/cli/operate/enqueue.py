"""`rediq enqueue`: one task from the command line, or many from JSON lines."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TextIO, cast

import trio

from rediq_trio._errors import ConfigError
from rediq_trio.cli.flags import AddParser
from rediq_trio.cli.operate.session import Session, operating_flags, time_flag
from rediq_trio.cli.operate.task import follow
from rediq_trio.cli.statuses import DONE
from rediq_trio.observe.words import count, counted, shown
from rediq_trio.values.task import Task, Unique

AT_ONCE = 1_000
"""Tasks of one `enqueue_many`."""
LINE_MAX = 4 * 1024 * 1024
"""Characters of one JSON line."""
OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--queue", {"default": None, "help": "the queue (default)"}),
    ("--priority", {"type": int, "metavar": "N", "help": "0 (first) to 100 (last) (50)"}),
    ("--delay", {"type": time_flag, "metavar": "TIME", "help": "wait before it, like 10m"}),
    ("--at", {"metavar": "INSTANT", "help": "when, like 2026-12-24T18:00+01:00"}),
    ("--id", {"help": "its own id: a second one of that id is refused"}),
    ("--unique", {"metavar": "KEY", "help": "refuse a second task with this key"}),
    ("--max-retry", {"type": int, "metavar": "N", "help": "attempts after the first"}),
    ("--meta", {"action": "append", "default": [], "metavar": "KEY=VALUE", "help": "metadata"}),
)
"""Flags of the options of a task."""
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
        "and any options of a task."
    )
    parser.add_argument("type", metavar="TYPE", help="the handler's name; - for JSON lines")
    parser.add_argument("payload", metavar="JSON or KEY=VALUE", nargs="*", help="the payload")
    for flag, options in OPTIONS:
        parser.add_argument(flag, **options)
    parser.add_argument("--wait", action="store_true", help="show its progress and its result")
    operating_flags(parser, enqueue)
    return parser


async def enqueue(session: Session) -> int:
    options = session.arguments
    if options.type == "-":
        if options.wait or options.payload:
            raise ConfigError("enqueue -: takes no payload and no --wait; the lines have it all")
        return await _enqueue_lines(session, sys.stdin)
    handle = await session.client.enqueue(
        task_of(options, options.type, read_payload(options.payload))
    )
    session.out.object({"id": handle.id, "created": handle.created})
    session.out.say(shown(handle.id))
    return await follow(session, handle) if options.wait else DONE


def task_of(options: argparse.Namespace, kind: str, payload: Any) -> Task[Any]:
    """Return the task that the flags describe; raise `ConfigError`."""
    given = vars(options)
    names = ("queue", "priority", "delay", "id", "max_retry")
    fields = {name: given[name] for name in names if given.get(name) is not None}
    if given.get("at") is not None:
        fields["run_at"] = read_instant("--at", given["at"])
    if given.get("unique") is not None:
        fields["unique"] = Unique(key=given["unique"])
    if given.get("meta"):
        fields["metadata"] = dict(_pair("--meta", text) for text in given["meta"])
    return Task(kind, payload, **fields)


def read_payload(words: Sequence[str]) -> Any:
    """Return the payload that the words of a command line are; raise `ConfigError`."""
    if not words:
        return {}
    if len(words) == 1 and not _is_pair(words[0]):
        return read_json("payload", words[0])
    return {key: _value(text) for key, text in (_pair("payload", word) for word in words)}


def _is_pair(word: str) -> bool:
    return word.partition("=")[0].isidentifier() and "=" in word


def _pair(field: str, text: str) -> tuple[str, str]:
    key, mark, value = text.partition("=")
    if not mark or not key:
        raise ConfigError.of(field, text, "KEY=VALUE")
    return key, value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def read_json(field: str, text: str) -> Any:
    """Read JSON; raise `ConfigError` that says where it breaks."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        near = text[max(0, error.pos - 10) : error.pos + 10]
        raise ConfigError(
            f"{field}: no JSON at character {error.pos + 1}, near {shown(near)!r}: {error.msg}"
        ) from None
    except RecursionError:
        raise ConfigError(f"{field}: is nested too deeply") from None


def read_instant(field: str, text: str) -> dt.datetime:
    """Read an instant of ISO 8601, with its offset; raise `ConfigError`."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError.of(field, text, "like 2026-12-24T18:00+01:00") from None
    if found.tzinfo is None:
        raise ConfigError.of(field, text, "an instant with its offset, like 2026-12-24T18:00Z")
    return found


async def _enqueue_lines(session: Session, source: TextIO) -> int:
    done = existing = 0
    tasks = _read_lines(source)
    while part := await trio.to_thread.run_sync(_next_part, tasks, abandon_on_cancel=True):
        handles = await session.client.enqueue_many(part, wait=True)
        for handle in handles:
            session.out.object({"id": handle.id, "created": handle.created})
        done += len(handles)
        existing += sum(not handle.created for handle in handles)
    there = f", {count(existing)} there already" if existing else ""
    session.out.say(f"{counted(done - existing, 'task')} enqueued{there}")
    return DONE


def _next_part(tasks: Iterator[Task[Any]]) -> list[Task[Any]]:
    return list(islice(tasks, AT_ONCE))


def _read_lines(source: Iterable[str]) -> Iterator[Task[Any]]:
    for number, line in enumerate(source, 1):
        if line.strip():
            yield _read_line(f"line {number}", line)


def _read_line(where: str, line: str) -> Task[Any]:
    if len(line) > LINE_MAX:
        raise ConfigError(f"{where}: has {len(line):,} characters, {LINE_MAX:,} at most")
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
    if "unique" in fields:
        fields["unique"] = Unique(key=fields["unique"])
    kind, payload = fields.pop("type"), fields.pop("payload", {})
    try:
        return Task(kind, payload, **fields)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
