"""`rediq history` and `rediq replay`: write the history of a queue, and run it through the specification.

Exit status: 0 if there is a history, or every step follows the specification; 1 if there is none,
or a step does not; 2 if the file is not a history.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import Any, Literal, TextIO

import attrs
import trio

from rediq_trio._errors import ConfigError
from rediq_trio.admin.history_file import QueueHistory, read_histories
from rediq_trio.cli.flags import AddParser, common_flags
from rediq_trio.client import connect
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.replay import Break, replay
from rediq_trio.store.urls import default_url

STEPS_SHOWN = 10
"""The number of steps of a task that are shown, up to the one that breaks the specification."""


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(
        description="Write the last transitions of a queue as lines of JSON. "
        "A queue keeps them once history= is set.",
    )
    parser.add_argument("queue", help="the queue's name")
    parser.add_argument("--output", metavar="FILE", help="where to write it (standard output)")
    common_flags(parser, "url", "key_prefix")
    parser.set_defaults(execute=_execute_history)
    return parser


def add_replay(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(
        description="Run a history that 'rediq history' wrote through the specification, "
        "and name the first step that breaks it. Needs no server.",
    )
    parser.add_argument("file", metavar="FILE", help="the history; - for standard input")
    common_flags(parser, "json")
    parser.set_defaults(execute=_execute_replay)
    return parser


def _execute_history(arguments: argparse.Namespace) -> int:
    prefix = arguments.key_prefix or os.environ.get("REDIQ_KEY_PREFIX") or "rediq"
    url = arguments.url or default_url()
    if trio.run(_write, url, prefix, arguments.queue, arguments.output):
        return 0
    advice = "set history= of its workers, or Queue.keep_history()"
    print(f"rediq: the queue {arguments.queue} keeps no history: {advice}", file=sys.stderr)
    return 1


async def _write(url: str, prefix: str, name: str, file: str | None) -> int:
    """Write the lines and return the number of entries."""
    many = 0
    async with (
        connect(url, key_prefix=prefix) as client,
        aclosing(client.queue(name).history_lines()) as lines,
    ):
        with _opened(file, "w", f"--output {file}") as output:
            async for line in lines:
                output.write(line + "\n")
                many += "rediq_history" not in line
    return many


def _opened(name: str | None, mode: Literal["r", "w"], said: str) -> AbstractContextManager[TextIO]:
    """Open a text file; without a name, standard input or output."""
    if name is None:
        return nullcontext(sys.stdin if mode == "r" else sys.stdout)
    try:
        return open(name, mode, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{said}: {error.strerror}") from error


@attrs.frozen
class ReplayResult:
    """The result of one recording."""

    history: QueueHistory
    breaks: tuple[Break, ...]

    @property
    def last_steps(self) -> tuple[Entry, ...]:
        """The last steps, up to the first break, of the task that it is about."""
        if not self.breaks:
            return ()
        at = self.breaks[0].entry
        steps = [e for e in self.history.entries if e.id == at.id and e.number <= at.number]
        return tuple(steps[-STEPS_SHOWN:])


def _execute_replay(arguments: argparse.Namespace) -> int:
    file: str = arguments.file
    with _opened(None if file == "-" else file, "r", file) as lines:
        try:
            histories = list(read_histories(lines))
        except UnicodeDecodeError as error:
            raise ConfigError(f"{file}: no text: {error.reason}") from error
        except ConfigError as error:
            raise ConfigError(f"{file}: {error}") from error
    results = [ReplayResult(one, tuple(replay(one.entries, one.settings))) for one in histories]
    if arguments.json:
        print(json.dumps([_to_json(result) for result in results], ensure_ascii=False))
    else:
        for result in results:
            print("\n".join(_report_lines(result)))
    return 1 if any(result.breaks for result in results) else 0


def _report_lines(result: ReplayResult) -> Iterable[str]:
    history, breaks = result.history, result.breaks
    known = "from its beginning" if history.is_complete else "its beginning is not known"
    yield f"{history.queue}: {len(history.entries):,} steps, {known}"
    if not breaks:
        yield "  keeps to the specification"
        return
    yield f"  BREAKS the specification at {breaks[0]}"
    for entry in result.last_steps:
        yield "    " + _entry_text(entry)
    if len(breaks) > 1:
        yield f"  and {len(breaks) - 1:,} times later, which may follow from it"


def _entry_text(entry: Entry) -> str:
    if not entry.id:
        what = entry.key and f" {entry.key}"
        return f"step {entry.number}, {entry.transition}{what}: {list(entry.before)} -> {list(entry.after)}"
    parts = f"delivery {entry.deliveries}, attempt {entry.attempt}"
    reason = f", {entry.reason!r}" if entry.reason else ""
    worker = f", by {entry.worker}" if entry.worker else ""
    return (
        f"step {entry.number} at {entry.now_ms} ms, {entry.transition}: "
        f"{entry.source or '-'} -> {entry.target or '-'}, {parts}{worker}{reason}"
    )


def _to_json(result: ReplayResult) -> dict[str, Any]:
    first: dict[str, Any] | None = None
    if result.breaks:
        one = result.breaks[0]
        first = {
            "step": one.entry.number,
            "event": one.entry.transition,
            "task": one.entry.id or None,
            "invariant": one.invariant,
            "detail": one.detail,
            "task_history": [_entry_text(entry) for entry in result.last_steps],
        }
    return {
        "queue": result.history.queue,
        "steps": len(result.history.entries),
        "whole": result.history.is_complete,
        "breaks": len(result.breaks),
        "first": first,
    }
